// The cache simulator by hand-counted traces, and what must hold on any trace.
#include "launcher/bench/cache_simulator.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <map>
#include <random>
#include <set>

#include "kernels/base/error.h"

namespace terrace {
namespace {

bool go_on(size_t) { return true; }

CacheTrace make_trace(const std::vector<std::vector<int64_t>>& rows) {
  CacheTrace trace;
  for (const std::vector<int64_t>& row : rows) trace.add(row);
  return trace;
}

int64_t hits_of(const std::string& name, const CacheTrace& trace, int32_t num_frames) {
  return *count_hits(trace, num_frames, *make_retention_policy(name), go_on);
}

int64_t bound_of(const CacheTrace& trace, int32_t num_frames) { return *bound_hits(trace, num_frames, go_on); }

/// Users who talk in turns, behind a common first page: each turn repeats all before it; most talk once, some for long,
/// and come back after a while. What chat looks like to a cache.
CacheTrace make_chats(uint64_t seed, int num_rows) {
  std::mt19937_64 random(seed);
  struct Chat {
    std::vector<int64_t> pages;
    int64_t next_turn;
  };
  std::vector<Chat> open;
  CacheTrace trace;
  int64_t next_page = 1;
  for (int64_t row = 0; row < num_rows; ++row) {
    const auto due = std::ranges::min_element(open, {}, &Chat::next_turn);
    const bool goes_on = due != open.end() && due->next_turn <= row;
    Chat chat = goes_on ? std::move(*due) : Chat{{0}, 0};
    if (goes_on) open.erase(due);
    const size_t added = goes_on ? 1 + random() % 3 : 4 + random() % 24;
    for (size_t i = 0; i < added; ++i) chat.pages.push_back(next_page++);
    trace.add(chat.pages);
    chat.pages.pop_back();  // the last page was not full
    chat.next_turn = row + 60 + static_cast<int64_t>(random() % 60);
    if (random() % 100 < (goes_on ? 75 : 25)) open.push_back(std::move(chat));
  }
  return trace;
}

TEST(CacheTraceTest, APageIsItsIdBehindItsPrefix) {
  const CacheTrace trace = make_trace({{7, 8}, {7, 9}, {8, 9}, {7, 8}});
  EXPECT_EQ(trace.rows[3], trace.rows[0]);
  EXPECT_EQ(trace.rows[1][0], trace.rows[0][0]);
  EXPECT_NE(trace.rows[2][0], trace.rows[0][1]) << "8 at the beginning is not 8 after 7";
  EXPECT_NE(trace.rows[2][1], trace.rows[1][1]);
  EXPECT_EQ(trace.parents.size(), 5u);
  EXPECT_EQ(trace.num_page_uses, 8);
}

TEST(CacheTraceTest, ABadLineIsNamedByItsNumber) {
  const std::string path = testing::TempDir() + "cache_trace_bad." + std::to_string(getpid());
  const std::map<std::string, std::string> texts = {
      {"{\"hash_ids\": [1, 2]}\n\n{\"hash_ids\": [1, \"x\"]}\n", "line 3"},
      {"{\"hash_ids\": [1]}\n{\"hash\": [1]}\n", "line 2"},
      {"[1, 2]\n", "line 1"},
      {"{\"hash_ids\": [1], \"output_length\": -2}\n", "line 1"},
      {"{\"hash_ids\": [1\n", "line 1"},
      {"\n", "no pages"}};
  for (const auto& [text, expected] : texts) {
    std::ofstream(path) << text;
    try {
      read_cache_trace(path);
      ADD_FAILURE() << "accepted: " << text;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(expected), std::string::npos) << error.what();
    }
  }
  std::remove(path.c_str());
}

TEST(CacheTraceTest, ReadsRowsInOrder) {
  const std::string path = testing::TempDir() + "cache_trace_good." + std::to_string(getpid());
  std::ofstream(path) << "{\"timestamp\": 0, \"input_length\": 600, \"output_length\": 5, \"hash_ids\": [0, "
                         "1]}\n{\"hash_ids\": []}\r\n{\"hash_ids\":[0,2]}";
  const CacheTrace trace = read_cache_trace(path);
  EXPECT_EQ(trace.rows, (std::vector<std::vector<uint32_t>>{{0, 1}, {}, {0, 2}}));
  EXPECT_EQ(trace.answers, (std::vector<int32_t>{5, -1, -1}));
  std::remove(path.c_str());
}

TEST(CacheSimulatorTest, CountsTheLeadingRunThatIsThere) {
  const CacheTrace trace = make_trace({{1, 2, 3}, {1, 2, 4}, {1, 2, 3}});
  EXPECT_EQ(hits_of("lru", trace, 4), 2 + 3);
  EXPECT_EQ(bound_of(trace, 4), 2 + 3);
  // In three frames the second row takes 3's, and the third 4's.
  EXPECT_EQ(hits_of("lru", trace, 3), 2 + 2);
}

TEST(CacheSimulatorTest, LruTakesTheOldestChainFromItsEnd) {
  // a b | c d | e: takes b. a b again finds a.
  EXPECT_EQ(hits_of("lru", make_trace({{1, 2}, {3, 4}, {5}, {1, 2}}), 4), 1);
}

TEST(CacheSimulatorTest, ARowLongerThanTheTierGoesInAsFarAsThereIsRoom) {
  const CacheTrace trace = make_trace({{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}});
  for (const std::string& name : retention_policy_names()) EXPECT_EQ(hits_of(name, trace, 3), 3) << name;
  EXPECT_EQ(bound_of(trace, 3), 3);
}

TEST(CacheSimulatorTest, TheBoundKeepsWhatComesBackSoonest) {
  // Two frames. 1 returns after 2 and 3, each used once; 4 and 5 alternate.
  EXPECT_EQ(bound_of(make_trace({{1}, {2}, {3}, {1}}), 1), 1);
  EXPECT_EQ(bound_of(make_trace({{4}, {5}, {6}, {4}, {5}, {6}}), 2), 2);
  EXPECT_EQ(bound_of(make_trace({{1}, {2}}), 0 + 1), 0);
}

/// The most hits of any series of decisions, by trying all: after each row any set of pages of at most `num_frames` may
/// be kept, of those that were there or in the row.
int64_t best_by_trying(const CacheTrace& trace, size_t num_frames) {
  std::map<std::set<uint32_t>, int64_t> best = {{{}, 0}};
  for (const std::vector<uint32_t>& row : trace.rows) {
    std::map<std::set<uint32_t>, int64_t> after;
    for (const auto& [held, hits] : best) {
      int64_t found = 0;
      while (found < static_cast<int64_t>(row.size()) && held.contains(row[static_cast<size_t>(found)])) ++found;
      std::set<uint32_t> all = held;
      all.insert(row.begin(), row.end());
      const std::vector<uint32_t> pages(all.begin(), all.end());
      for (uint32_t mask = 0; mask < (1u << pages.size()); ++mask) {
        std::set<uint32_t> kept;
        for (size_t i = 0; i < pages.size(); ++i) {
          if ((mask >> i) & 1) kept.insert(pages[i]);
        }
        if (kept.size() > num_frames) continue;
        int64_t& value = after.try_emplace(kept, 0).first->second;
        value = std::max(value, hits + found);
      }
    }
    best = std::move(after);
  }
  int64_t most = 0;
  for (const auto& [held, hits] : best) most = std::max(most, hits);
  return most;
}

TEST(CacheSimulatorTest, TheBoundIsTheMostThatAnyDecisionsCanFind) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 60; ++round) {
    CacheTrace trace;
    for (int row = 0; row < 8; ++row) {
      std::vector<int64_t> ids;
      for (size_t depth = 0; depth < 1 + random() % 3; ++depth) ids.push_back(static_cast<int64_t>(random() % 2));
      trace.add(ids);
    }
    const size_t num_frames = 1 + random() % 3;
    EXPECT_EQ(bound_of(trace, static_cast<int32_t>(num_frames)), best_by_trying(trace, num_frames))
        << "round " << round;
  }
}

TEST(CacheSimulatorTest, NoPolicyFindsMoreThanTheBound) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const CacheTrace trace = make_chats(seed, 300);
    for (const int32_t num_frames : {1, 10, 100, 1000, 10000}) {
      const int64_t bound = bound_of(trace, num_frames);
      for (const std::string& name : retention_policy_names())
        EXPECT_LE(hits_of(name, trace, num_frames), bound) << name << ' ' << num_frames;
    }
  }
}

TEST(CacheSimulatorTest, ReuseIsNotBelowLruOnChatsOfAnySizeOfTier) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    const CacheTrace trace = make_chats(seed, 3000);
    for (const int32_t num_frames : {250, 500, 1000, 2000, 4000, 8000, 100000}) {
      EXPECT_GE(hits_of("reuse", trace, num_frames), hits_of("lru", trace, num_frames))
          << "seed " << seed << ", " << num_frames << " pages";
    }
  }
}

TEST(CacheSimulatorTest, ReuseWinsAQuarterOfTheGapWhereChatsComeBackTooLateForLru) {
  const CacheTrace trace = make_chats(4, 3000);
  const int64_t lru = hits_of("lru", trace, 500);
  EXPECT_GE(hits_of("reuse", trace, 500) - lru, (bound_of(trace, 500) - lru) / 4);
}

TEST(CacheSimulatorTest, StopsWhenAsked) {
  const CacheTrace trace = make_chats(1, 10);
  const auto stop = [](size_t num_rows) { return num_rows < 4; };
  EXPECT_EQ(count_hits(trace, 10, *make_retention_policy("lru"), stop), std::nullopt);
  EXPECT_EQ(bound_hits(trace, 10, stop), std::nullopt);
}

}  // namespace
}  // namespace terrace
