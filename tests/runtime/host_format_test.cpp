// Pages that go through the host and the disk in 8 bits (cache.host_format): twice as many, close to what was computed, and refused where they cannot be.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "kernels/page_layout.h"
#include "runtime/session.h"
#include "tests/support/runtime/engine_run.h"
#include "tests/support/runtime/loading_backend.h"

namespace terrace {
namespace {

constexpr int64_t kPage = kSmallModelPage;
constexpr int64_t kStoredPage = 12288;  // 3 layers x 2 x 3 heads x 16 tokens x (32 + 4) = 10,368, rounded up

Config small_config() {
  Config config = small_model_config();
  config.cache.device = {kPage * 200, 0};
  config.cache.fetch = "always";
  config.cache.host = {kStoredPage * 150, 0};
  config.cache.host_format = "Q8";
  config.scheduler = {.max_tokens_per_step = 64, .max_sequences = 2};
  return config;
}

std::vector<Request> documents(int count, int each) {
  std::vector<Request> requests;
  for (int i = 0; i < count * each; ++i) requests.push_back(greedy_request(i % count, 150 + 17 * (i % count), 6, 320));
  return requests;
}

/// The largest difference of a log-probability of tokens that both chose, up to the first that they didn't.
double largest_difference(const Outputs& expected, const Outputs& found) {
  double largest = 0;
  for (const auto& [id, events] : expected) {
    for (size_t i = 0; i < events.size() && i < found.at(id).size() && events[i].token == found.at(id)[i].token; ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(events[i].logprob) - found.at(id)[i].logprob));
    }
  }
  return largest;
}

/// The sentence with which a session of this configuration is refused; empty: it is not.
std::string refusal(const Config& config) {
  std::string sentence;
  run_ranks({.local_ranks = 1, .spin = false}, [&](RankGroup& group) {
    try {
      Session(config, group, {.announce = false, .load_progress = {}});
    } catch (const Error& error) {
      sentence = error.what();
    }
    return 0;
  });
  return sentence;
}

TEST(HostFormatTest, FetchedPagesGiveNearlyTheLogProbabilitiesOfComputedOnes) {
  const std::vector<Request> requests = documents(6, 3);
  for (const int ranks : {1, 2}) {
    Config config = small_config();
    config.cache.prefixes = false;
    const Outputs computed = run_engine(config, ranks, requests);
    config.cache.prefixes = true;
    config.cache.device = {(ranks == 1 ? kPage : 12288) * 36, 0};  // the documents are about 75 pages
    EngineStats stats;
    const Outputs fetched = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.sources.host, 0) << ranks;
    EXPECT_EQ(stats.tiers.checksum_failures, 0u);
    const double difference = largest_difference(computed, fetched);
    EXPECT_GT(difference, 0) << "the pages were not rounded";
    EXPECT_LT(difference, 0.1);
  }
}

TEST(HostFormatTest, TheSameBytesHoldMorePages) {
  for (const bool smaller : {false, true}) {
    Config config = small_config();
    config.cache.host = {kPage * 60, 0};
    if (!smaller) config.cache.host_format = "same";
    EngineStats stats;
    run_engine(config, 1, documents(1, 1), &stats);
    EXPECT_EQ(stats.frames_total[1], smaller ? 100 : 60);
  }
}

// From the disk all of a prompt's full pages come rounded, whatever else happens when: so two runs are equal in every bit.
TEST(HostFormatTest, RunsThatFindAllPagesOnDiskGiveEqualBits) {
  const std::vector<Request> requests = documents(4, 1);
  for (const int ranks : {1, 2}) {
    Config config = small_config();
    const TestDisk disk(config, kStoredPage * 200);
    const Outputs computed = run_engine(config, ranks, requests);
    std::array<EngineStats, 2> stats;
    const Outputs first = run_engine(config, ranks, requests, &stats[0]);
    const Outputs second = run_engine(config, ranks, requests, &stats[1]);
    config.cache.host_format = "same";
    if (ranks == 1) {  // pages of 8 bits are not taken for pages of 16
      EXPECT_NE(refusal(config).find("holds the pages of another model or another layout"), std::string::npos) << refusal(config);
    }
    for (const EngineStats& each : stats) EXPECT_EQ(each.sources.disk, 144 + 160 + 176 + 192) << ranks;  // all full pages
    for (const auto& [id, events] : first) expect_bit_equal(events, second.at(id), fmt::format("{} ranks, sequence {}", ranks, id));
    EXPECT_LT(largest_difference(computed, first), 0.1);
  }
}

TEST(HostFormatTest, PagesOf8BitsStayAsTheyAre) {
  const std::vector<Request> requests = documents(6, 2);
  Config config = small_config();
  config.cache.format = KvType::kQ8;
  config.cache.device = {kStoredPage * 36, 0};
  EngineStats stats;
  const Outputs fetched = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.sources.host, 0);
  config.cache.prefixes = false;
  for (const auto& [id, events] : run_engine(config, 1, requests)) expect_bit_equal(events, fetched.at(id), "sequence " + std::to_string(id));
}

TEST(HostFormatTest, WhatCannotBeIsRefusedWithASentence) {
  Config config = small_config();
  config.cache.in_place = true;
  EXPECT_NE(refusal(config).find("cache.host_format Q8 and cache.in_place exclude one another"), std::string::npos) << refusal(config);
  config.cache.format = KvType::kQ8;  // then they are the same pages
  EXPECT_EQ(refusal(config), "");
  config = small_config();
  config.cache.format = KvType::kQ4;
  EXPECT_NE(refusal(config).find("set cache.host_format to same"), std::string::npos) << refusal(config);
  const PageLayout layout = make_page_layout(KvType::kF16, 16, 1, 1, 64);
  try {
    LoadingBackend().make_page_codec(layout, layout);
    ADD_FAILURE() << "a backend without a codec";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("cache.host_format: loading only moves pages between the tiers as they are"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
