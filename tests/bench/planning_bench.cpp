// What rank 0's own work costs a step: the scheduler with the books of the tiers, for 256 running sequences and 100,000 pages, without a model. Medians and the
// slowest of 100 steps, microseconds. terrace_planning_bench [PART OF A CASE'S NAME]
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <random>
#include <string_view>
#include <vector>

#include "runtime/scheduler.h"

namespace terrace {
namespace {

constexpr int32_t kPageTokens = 16;
constexpr int32_t kRunning = 256;
constexpr int kSteps = 1000;

double us_of(const std::function<void()>& work) {
  const auto began = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - began).count();
}

struct Times {
  std::vector<double> us;

  double at(double share) {
    std::sort(us.begin(), us.end());
    return us.empty() ? 0 : us[static_cast<size_t>(share * static_cast<double>(us.size() - 1))];
  }
};

/// Rank 0 with ranks that compute and move everything at once.
class Load {
 public:
  explicit Load(const Scheduler::Options& options) : scheduler_(options) {}

  /// Tokens are all different but for the first `shared`, which are those of `family`.
  void submit(int32_t num_tokens, int32_t max_tokens, int32_t shared = 0, uint32_t family = 0) {
    Request request;
    std::mt19937 common(family), own(static_cast<uint32_t>(++last_id_) + 1'000'000);
    for (int32_t i = 0; i < num_tokens; ++i) request.prompt.push_back(static_cast<int32_t>((i < shared ? common() : own()) % 50'000));
    request.max_tokens = max_tokens;
    if (scheduler_.submit(last_id_, std::move(request))) std::abort();
  }
  void step() {
    StepPlan plan;
    plan_.us.push_back(us_of([&] { plan = scheduler_.plan(); }));
    encode_.us.push_back(us_of([&] { decode_plan(encode(plan)); }));
    std::vector<MoveResult> results;
    for (const PageMove& move : plan.moves) results.push_back({.id = move.id, .us = 50, .busy_us = 50, .bytes = 1 << 18});
    num_moves_ += plan.moves.size();
    num_rows_ += plan.rows.size();
    settle_.us.push_back(us_of([&] { scheduler_.tiers().settle(results); }));
    commit_.us.push_back(us_of([&] {
      for (const PlanRow& row : plan.rows) scheduler_.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
    }));
  }
  /// And until what was published has been written out.
  void run_to_the_end() {
    for (size_t before = num_moves_ + 1; scheduler_.busy() || num_moves_ != before;) {
      before = num_moves_;
      step();
    }
  }
  /// Until all places are taken by sequences that decode.
  void prefill() {
    for (size_t rows = 0; rows < kRunning;) {
      const size_t before = num_rows_;
      step();
      rows = num_rows_ - before;
    }
  }
  void measure(const char* what, const std::function<void()>& between = [] {}) {
    plan_ = encode_ = settle_ = commit_ = {};
    num_moves_ = num_rows_ = 0;
    const uint64_t preemptions = scheduler_.num_preemptions();
    for (int i = 0; i < kSteps; ++i) {
      between();
      step();
    }
    Times whole;
    for (size_t i = 0; i < plan_.us.size(); ++i) whole.us.push_back(plan_.us[i] + settle_.us[i] + commit_.us[i]);
    fmt::print("{:46} {:7.1f} ({:7.1f}) = plan {:6.1f} + settle {:5.1f} + commit {:5.1f}; encode, decode {:5.1f}; {:.0f} rows, {:.1f} moves, {:.2f} preemptions a step; {} pages\n", what, whole.at(0.5),
               whole.at(0.99), plan_.at(0.5), settle_.at(0.5), commit_.at(0.5), encode_.at(0.5), static_cast<double>(num_rows_) / kSteps, static_cast<double>(num_moves_) / kSteps,
               static_cast<double>(scheduler_.num_preemptions() - preemptions) / kSteps, scheduler_.tiers().pages().size());
  }
  Scheduler& scheduler() { return scheduler_; }

 private:
  Scheduler scheduler_;
  SequenceId last_id_ = 0;
  Times plan_, encode_, settle_, commit_;
  size_t num_moves_ = 0, num_rows_ = 0;
};

Scheduler::Options options(int32_t device, int32_t host) {
  Scheduler::Options result;
  result.max_tokens_per_step = 2048;
  result.max_sequences = kRunning;
  result.page_tokens = kPageTokens;
  result.num_frames = device;
  result.num_host_frames = host;
  result.context_length = 1 << 20;
  return result;
}

constexpr int32_t kChains = 250;
constexpr int32_t kChainTokens = 400 * kPageTokens;

/// 100,000 pages that nobody uses.
void fill_books(Load& load) {
  for (int32_t i = 0; i < kChains; ++i) load.submit(kChainTokens + 1, 1, kChainTokens, 1000 + static_cast<uint32_t>(i));
  load.run_to_the_end();
}

/// `num_waiting`: sequences that begin with 400 cached pages, and find no place.
void measure_decode(const char* what, int32_t device, int32_t host, int32_t num_waiting) {
  Load load(options(device, host));
  fill_books(load);
  for (int32_t i = 0; i < kRunning; ++i) load.submit(1000, 2000, 512, 1);
  load.prefill();
  for (int32_t i = 0; i < num_waiting; ++i) load.submit(kChainTokens + 100, 10, kChainTokens, 1000 + static_cast<uint32_t>(i % kChains));
  load.measure(what);
}

/// Short answers: sequences come and go in every step.
void measure_turnover(const char* what, int32_t device, int32_t host) {
  Load load(options(device, host));
  fill_books(load);
  uint32_t family = 0;
  const auto top_up = [&] {
    while (load.scheduler().num_running() + load.scheduler().num_waiting() < 2 * kRunning) {
      const uint32_t count = family++;
      load.submit(200 + 16 * static_cast<int32_t>(count % 20), 40, 160, 1 + count % 50);
    }
  };
  for (int i = 0; i < 100; ++i) {
    top_up();
    load.step();
  }
  load.measure(what, top_up);
}

void measure_tiers_at_rest(const char* what) {
  Load load(options(60'000, 60'000));
  fill_books(load);
  for (int i = 0; i < 10; ++i) {  // what is to be written out is
    load.submit(20, 1);
    load.run_to_the_end();
  }
  TierManager& tiers = load.scheduler().tiers();
  const int64_t now = 1'000'000;
  constexpr int kRounds = 10'000;
  const double us = us_of([&] {
    for (int i = 0; i < kRounds; ++i) {
      if (!tiers.plan_moves(now + i).moves.empty()) std::abort();
      tiers.settle({});
    }
  });
  fmt::print("{:46} {:7.3f}; {} pages\n", what, us / kRounds, tiers.pages().size());
}

int run(std::string_view only) {
  const std::vector<std::pair<const char*, std::function<void(const char*)>>> cases = {
      {"decode, device only", [](const char* what) { measure_decode(what, 100'000, 0, 0); }},
      {"decode, device and host", [](const char* what) { measure_decode(what, 40'000, 60'000, 0); }},
      {"decode, 500 wait for a place", [](const char* what) { measure_decode(what, 100'000, 0, 500); }},
      {"decode, 5,000 wait for frames", [](const char* what) { measure_decode(what, 16'500, 83'500, 5000); }},
      {"short answers, device only", [](const char* what) { measure_turnover(what, 100'000, 0); }},
      {"short answers, device and host", [](const char* what) { measure_turnover(what, 40'000, 60'000); }},
      {"short answers, 3,000 frames and host", [](const char* what) { measure_turnover(what, 3'000, 97'000); }},
      {"tiers alone, nothing to move", measure_tiers_at_rest},
  };
  for (const auto& [what, measure] : cases) {
    if (std::string_view(what).find(only) != std::string_view::npos) measure(what);
  }
  return 0;
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) { return terrace::run(argc > 1 ? argv[1] : ""); }
