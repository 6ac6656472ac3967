// Every state that the books of tiny caches can come to: all orders of arrivals, cancels, steps and of what each rank's reports say of each move (done,
// not yet, failed), to the end. In each state the books hold (CacheBooks), and from each all sequences end if from now on moves do (LAW 5).
//
// What it finds was tried by hand: a page that isn't pinned while it moves or is read in place, a source's frame freed as its move starts or though the page
// is held again, a target's frame not freed by a failure, the outcome of the last rank alone, a move that ends one report early, a page published while it is fetched, no preemption.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <optional>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/support/runtime/choice_search.h"
#include "tests/support/runtime/cache_books.h"

namespace terrace {
namespace {

// What a report may say of a move; the first is what all say on the way to the end.
const std::vector<MoveFate> kMovesGetDone = {MoveFate::kDone, MoveFate::kNotYet, MoveFate::kFailed};
const std::vector<MoveFate> kMovesFail = {MoveFate::kFailed, MoveFate::kNotYet, MoveFate::kDone};

struct TinyCache {
  std::string name;
  Scheduler::Options scheduler;
  std::vector<Request> requests;  // in order of arrival
  bool preempts = false;          // some execution does
  std::vector<MoveFate> fates = kMovesGetDone;
  bool only_long = false;         // for TERRACE_LONG_TESTS
};

void PrintTo(const TinyCache& cache, std::ostream* out) { *out << cache.name; }

class PageStates {
 public:
  explicit PageStates(const TinyCache& cache) : cache_(cache) {}

  void explore() {
    do {
      ++num_executions_;
      execute();
      if (::testing::Test::HasFailure()) {
        ADD_FAILURE() << "choices: " << search_.path();
        return;
      }
    } while (search_.advance());
  }
  /// Steps from the state that is farthest from the end, where from there on moves end with the next report; nullopt: from some the end never comes.
  std::optional<int> longest_way_to_the_end() const;
  /// Of the executions that did most of it.
  const TierStats& most() const { return most_; }
  uint64_t most_preemptions() const { return most_preemptions_; }
  size_t num_states() const { return states_.size(); }
  size_t num_executions() const { return num_executions_; }

 private:
  static constexpr size_t kQuiet = SIZE_MAX;       // nothing in flight, nothing moves
  static constexpr size_t kUnknown = SIZE_MAX - 1;
  struct Run {
    Scheduler scheduler;
    CacheWorld world;
    std::set<SequenceId> in_flight = {};
    size_t num_arrived = 0;
    std::optional<size_t> last_new = std::nullopt;  // state, which this execution came to first
    bool quiet() const { return !scheduler.busy() && !scheduler.tiers().moving(); }
  };

  void execute();
  bool is_new(Run& run);
  bool next_event(Run& run);
  void step(Run& run);
  void remember(const Run& run);
  void check(Run& run, const StepPlan* unsent = nullptr);

  const TinyCache& cache_;
  ChoiceSearch search_;
  size_t num_executions_ = 0;
  TierStats most_;
  uint64_t most_preemptions_ = 0;
  std::unordered_map<std::string, size_t> states_;
  std::vector<size_t> next_;  // by state: the one after its first choices, which are to step and to have all moves end
};

void PageStates::execute() {
  const Scheduler::Options& options = cache_.scheduler;
  Run run = {Scheduler(options),
             CacheWorld({.page_tokens = options.page_tokens, .num_frames = {options.num_frames, options.num_host_frames, options.num_disk_frames},
                         .num_slots = options.max_sequences, .windows = options.windows, .num_ranks = options.num_ranks,
                         .fate = [this](const PageMove&) { return cache_.fates[search_.choose(cache_.fates.size())]; }})};
  do {
    for (const PageRef ref : CacheBooks(run.scheduler, run.world).free_frames()) run.world.spoil(ref);
    if (!search_.replaying() && !is_new(run)) break;
  } while (next_event(run) && !::testing::Test::HasFailure());
  remember(run);
}

void PageStates::remember(const Run& run) {
  const TierStats& stats = run.scheduler.tiers().stats();
  for (size_t tier = 0; tier < kNumTiers; ++tier) {
    most_.moved_in[tier] = std::max(most_.moved_in[tier], stats.moved_in[tier]);
    most_.lost[tier] = std::max(most_.lost[tier], stats.lost[tier]);
    most_.failed[tier] = std::max(most_.failed[tier], stats.failed[tier]);
  }
  most_preemptions_ = std::max(most_preemptions_, run.scheduler.num_preemptions());
}

bool PageStates::is_new(Run& run) {
  check(run);
  std::string state = CacheBooks(run.scheduler, run.world).state();
  state.push_back(static_cast<char>(run.num_arrived));
  const auto [place, is_new] = states_.try_emplace(std::move(state), states_.size());
  if (is_new) next_.push_back(run.quiet() ? kQuiet : kUnknown);
  if (run.last_new && next_[*run.last_new] == kUnknown) next_[*run.last_new] = place->second;
  run.last_new = place->second;
  return is_new;
}

void PageStates::check(Run& run, const StepPlan* unsent) {
  for (const std::string& fault : CacheBooks(run.scheduler, run.world, unsent).faults()) ADD_FAILURE() << fault;
  if (run.quiet() && run.scheduler.frames_in_use() != 0) ADD_FAILURE() << run.scheduler.frames_in_use() << " frames in use by nobody";
}

// False: nothing can happen any more.
bool PageStates::next_event(Run& run) {
  const bool steps = !run.quiet();
  const bool arrives = run.num_arrived < cache_.requests.size();
  const bool writes = !run.scheduler.busy() && cache_.scheduler.num_disk_frames > 0;
  const size_t num_cancels = run.in_flight.size();
  const size_t num_ways = size_t{steps} + size_t{arrives} + size_t{writes} + num_cancels;
  if (num_ways == 0) return false;
  size_t way = search_.choose(num_ways);
  if (steps && way-- == 0) {
    step(run);
  } else if (arrives && way-- == 0) {
    const SequenceId id = ++run.num_arrived;
    EXPECT_FALSE(run.scheduler.submit(id, cache_.requests[id - 1]));
    run.in_flight.insert(id);
  } else if (writes && way-- == 0) {
    run.scheduler.tiers().write_behind();
  } else {
    const SequenceId id = *std::next(run.in_flight.begin(), static_cast<std::ptrdiff_t>(way));
    EXPECT_TRUE(run.scheduler.cancel(id));
    run.in_flight.erase(id);
  }
  return true;
}

void PageStates::step(Run& run) {
  const StepPlan plan = run.scheduler.plan();
  if (!search_.replaying()) check(run, &plan);
  EXPECT_TRUE(!plan.rows.empty() || !run.scheduler.busy() || run.scheduler.tiers().moving()) << "nothing to do and nothing to wait for";
  run.world.execute(plan, run.scheduler);
  if (::testing::Test::HasFailure()) return;
  for (const PlanRow& row : plan.rows) {
    const Sequence& sequence = run.scheduler.sequence(row);
    const SequenceId id = sequence.id;
    const bool sampled = row.output == RowOutput::kCandidates || row.output == RowOutput::kFullLogits;
    const int32_t token = 50 + sequence.num_output();
    if (run.scheduler.commit(row, sampled ? std::optional(token) : std::nullopt) != FinishReason::kNone) run.in_flight.erase(id);
  }
}

std::optional<int> PageStates::longest_way_to_the_end() const {
  int longest = 0;
  for (size_t state = 0; state < next_.size(); ++state) {
    int length = 0;
    for (size_t at = state; next_[at] != kQuiet; at = next_[at]) {
      if (next_[at] == kUnknown || ++length > 1000) return std::nullopt;
    }
    longest = std::max(longest, length);
  }
  return longest;
}

Request request(std::vector<int32_t> prompt, int32_t max_tokens) {
  Request request;
  request.prompt = std::move(prompt);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  return request;
}

// Pages of one token, two tokens a step, and of each tier fewer frames than wanted.
Scheduler::Options tiny(int32_t device, int32_t host, int32_t disk) {
  return {.max_tokens_per_step = 2, .max_sequences = 2, .page_tokens = 1, .num_frames = device, .num_host_frames = host, .num_disk_frames = disk,
          .context_length = 10, .fetch = FetchRule::kAlways};
}

std::vector<TinyCache> tiny_caches() {
  const std::vector<Request> alike = {request({1, 2, 3}, 2), request({1, 2, 4}, 2)};
  const std::vector<Request> comes_again = {alike[0], alike[1], request({1, 2, 3, 50}, 1)};  // with its answer
  const std::vector<Request> grow = {request({1}, 4), request({2}, 4)};                      // both are let in, and there is room for one
  const std::vector<Request> longer = {request({1, 2, 3, 4}, 3), request({1, 2, 3, 5}, 3), request({1, 6, 7, 8}, 3)};
  std::vector<Request> scored = alike;  // whose third takes nothing from the cache, and computes pages that move
  scored.push_back(request({1, 2, 3}, 0));
  scored.back().prompt_logprobs = true;
  std::vector<TinyCache> caches = {
      {"EveryPosition", tiny(4, 2, 1), scored},
      {"EveryPositionWhilePagesAreFetched", tiny(4, 2, 0), {request({1, 2}, 1), request({5, 6, 7, 8}, 1), request({1, 2, 3}, 1), scored[2]}},
      {"EveryPositionAndWriteThrough", tiny(4, 4, 0), {alike[0], scored[2]}},
      {"InPlaceOfSequencesApart", tiny(2, 4, 0), grow},
      {"ThreeTiers", tiny(4, 2, 1), comes_again},
      {"TwoRanks", tiny(4, 2, 0), comes_again},
      {"ThreeSequences", tiny(4, 2, 1), {alike[0], request({1, 5, 6}, 2), request({1, 2, 3}, 1)}},
      {"Preemption", tiny(4, 2, 1), grow, true},
      {"PreemptionWhereAllMovesFail", tiny(4, 2, 1), grow, true, kMovesFail},
      {"PreemptionWithoutTiers", tiny(4, 0, 0), grow, true},
      {"PreemptionOnTwoRanks", tiny(4, 2, 1), grow, true},
      {"PagesOfTwoTokens", tiny(4, 2, 1), longer},
      {"PagesOfTwoTokensAndPreemption", tiny(4, 2, 1), {request({1, 2}, 6), request({1, 4}, 6)}, true},
      {"Window", tiny(5, 2, 1), {request({1, 2, 3}, 4), request({1, 2, 4}, 2)}},
      {"Groups", tiny(8, 3, 1), {request({1, 2, 3}, 2), request({1, 2, 4}, 1)}},
      {"GroupsAndPreemptionWithoutTiers", tiny(8, 0, 0), {request({1}, 4), request({2}, 4)}, true},
      {"InPlace", tiny(2, 4, 0), alike},
      {"InPlaceWithDisk", tiny(2, 3, 1), {request({1, 2, 3}, 1), request({1, 2, 4}, 1)}},
      {"InPlaceOnTwoRanks", tiny(2, 3, 0), {request({1, 2, 3}, 1), request({1, 2, 4}, 1)}},
      {"WriteThrough", tiny(4, 4, 0), alike, false, kMovesGetDone, true},
      {"WriteThroughOfTwo", tiny(4, 4, 1), {request({1, 2}, 1), request({1, 3}, 1)}},
      {"InPlaceOnAllTiers", tiny(4, 2, 1), alike, false, kMovesGetDone, true},
      {"PreemptionAndReturn", tiny(4, 2, 1), {grow[0], grow[1], request({1, 50}, 3)}, true, kMovesGetDone, true},
  };
  for (TinyCache& cache : caches) {
    const auto named = [&](const char* part) { return cache.name.find(part) != std::string::npos; };
    if (named("TwoRanks")) cache.scheduler.num_ranks = 2;
    if (named("TwoTokens")) cache.scheduler.page_tokens = 2;
    if (named("Window")) cache.scheduler.windows = {{2, 1}};
    if (named("Groups")) cache.scheduler.windows = {{}, {2, 0}};
    cache.scheduler.in_place = named("InPlace");
  }
  return caches;
}

class PageStatesTest : public ::testing::TestWithParam<TinyCache> {};

TEST_P(PageStatesTest, BooksHoldInEveryStateAndEverySequenceEnds) {
  const TinyCache& cache = GetParam();
  if (cache.only_long && std::getenv("TERRACE_LONG_TESTS") == nullptr) GTEST_SKIP() << "with TERRACE_LONG_TESTS=1";
  PageStates states(cache);
  states.explore();
  if (HasFailure()) return;
  const std::optional<int> longest = states.longest_way_to_the_end();
  ASSERT_TRUE(longest) << "a sequence waits for ever";
  std::printf("%zu states, %zu executions, at most %d steps to the end\n", states.num_states(), states.num_executions(), *longest);
  for (const Tier tier : {Tier::kHost, Tier::kDisk}) {  // else the cache was not small enough to see anything
    const bool has = (tier == Tier::kHost ? cache.scheduler.num_host_frames : cache.scheduler.num_disk_frames) > 0;
    EXPECT_EQ(states.most().moved_in[static_cast<size_t>(tier)] > 0, has);
  }
  EXPECT_EQ(states.most_preemptions() > 0, cache.preempts);
}

INSTANTIATE_TEST_SUITE_P(Tiny, PageStatesTest, ::testing::ValuesIn(tiny_caches()), [](const auto& tiny) { return tiny.param.name; });

}  // namespace
}  // namespace terrace
