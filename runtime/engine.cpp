#include "runtime/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <utility>

#include "kernels/base/clock.h"
#include "kernels/base/error.h"
#include "runtime/sampling/mask_maker.h"
#include "runtime/scheduler.h"
#include "runtime/step_publisher.h"
#include "runtime/trace_writer.h"
#include "runtime/worker.h"

namespace terrace {
namespace {

Scheduler::Options scheduler_options(const Engine::Options& options, int num_ranks) {
  return {.max_tokens_per_step = options.scheduler.max_tokens_per_step,
          .max_sequences = options.scheduler.max_sequences,
          .page_tokens = options.cache.page_tokens,
          .num_frames = options.num_frames,
          .num_host_frames = options.num_host_frames,
          .num_disk_frames = options.num_disk_frames,
          .context_length = options.context_length,
          .windows = options.cache.enabled ? options.windows : std::vector<AttentionWindow>(options.windows.size()),  // else all is computed again, from the beginning
          .num_ranks = num_ranks,
          .cache_enabled = options.cache.enabled,
          .keep_prefixes = options.cache.prefixes,
          .in_place = options.cache.in_place,
          .fetch = options.cache.fetch == "always" ? FetchRule::kAlways : options.cache.fetch == "never" ? FetchRule::kNever : FetchRule::kWhereFaster,
          .policy = options.cache.policy,
          .sparse = options.sparse,
          .sparse_prompts_from = options.sparse_prompts_from,
          .origin = options.origin};
}

// Rank 0's books against what each rank did (LAW 1).
void check_digests(const StepPlan& plan, const std::vector<StepReport>& reports, const PageTables& books) {
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    if (reports[rank].step == plan.step && reports[rank].digest == plan.digest) continue;
    throw Error(ErrorCode::kPlanMismatch,
                fmt::format("rank {} disagrees with rank 0 about the page tables of step {} (its step: {})\nrank 0 planned:\n{}rank {} has:\n{}", rank,
                            plan.step, reports[rank].step, books.describe(), rank, reports[rank].tables));
  }
}

}  // namespace

struct Engine::Impl {
  Impl(RankGroup& rank_group, Worker& rank_worker, const Options& engine_options)
      : group(rank_group), worker(rank_worker), options(engine_options), scheduler(scheduler_options(engine_options, rank_group.size)) {
    scheduler.tiers().recover(std::exchange(options.on_disk, {}));
  }

  void drain(std::vector<SequenceEvent>& events);
  void step(std::vector<SequenceEvent>& events);
  void count(const StepPlan& plan, const std::vector<StepReport>& reports);
  StepPlan make_plan();
  void move_pages();
  std::vector<StepReport> run(const StepPlan& plan);
  void trace_step(const StepPlan& plan, std::span<const StepReport> reports);

  RankGroup& group;
  Worker& worker;
  Options options;
  Scheduler scheduler;
  MaskMaker masks;
  EngineStats stats;
  StepPublisher publisher{scheduler, masks, worker.backend(), stats};
  Clock& clock = steady_clock();
  TraceWriter::StepTimes times;  // of the step in progress

  struct Submission {
    SequenceId id;
    Request request;
    int64_t at_us;
  };
  std::mutex mutex;  // guards what follows: the two queues and the ids
  std::vector<Submission> submissions;
  std::vector<SequenceId> cancels;
  SequenceId next_id = 1;
};

Engine::Engine(RankGroup& group, Worker& worker, const Options& options) : impl_(std::make_unique<Impl>(group, worker, options)) {}
Engine::~Engine() = default;

SequenceId Engine::submit(Request request) {
  const std::lock_guard lock(impl_->mutex);
  impl_->submissions.push_back({impl_->next_id, std::move(request), impl_->clock.now_us()});
  return impl_->next_id++;
}

void Engine::cancel(SequenceId id) {
  const std::lock_guard lock(impl_->mutex);
  impl_->cancels.push_back(id);
}

bool Engine::busy() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->scheduler.busy() || !impl_->submissions.empty();
}

int32_t Engine::max_sequence_tokens() const { return impl_->scheduler.max_sequence_tokens(); }

void Engine::tick() { impl_->scheduler.tiers().tick(impl_->clock.now_us() / 1'000'000); }

std::vector<SequenceEvent> Engine::step() {
  std::vector<SequenceEvent> events;
  impl_->drain(events);
  if (impl_->scheduler.busy()) impl_->step(events);
  for (const SequenceEvent& event : events) {
    if (event.finish != FinishReason::kNone) impl_->masks.end(event.id);
    if (TraceWriter* trace = impl_->options.trace) trace->event(event, impl_->clock.now_us());
  }
  return events;
}

bool Engine::write_behind() {
  if (!impl_->scheduler.tiers().write_behind()) return false;
  impl_->move_pages();
  return true;
}

void Engine::write_out() {
  while (impl_->scheduler.tiers().write_out()) impl_->move_pages();
}

void Engine::stop() {
  StepPlan plan;
  plan.kind = StepKind::kStop;
  Bytes bytes = encode(plan);
  impl_->group.control->broadcast(bytes);
}

EngineStats Engine::stats() const {
  EngineStats stats = impl_->stats;
  stats.preemptions = impl_->scheduler.num_preemptions();
  stats.tiers = impl_->scheduler.tiers().stats();
  for (size_t tier = 0; tier < kNumTiers; ++tier) {
    stats.frames_total[tier] = impl_->scheduler.tiers().num_frames(static_cast<Tier>(tier));
    stats.frames_used[tier] = impl_->scheduler.tiers().num_used(static_cast<Tier>(tier));
  }
  stats.running = impl_->scheduler.num_running();
  stats.waiting = impl_->scheduler.num_waiting();
  return stats;
}

EngineStats Engine::live_stats() const {
  EngineStats live = stats();
  for (size_t tier = 0; tier < kNumTiers; ++tier) live.page_ages[tier] = impl_->scheduler.tiers().ages(static_cast<Tier>(tier));
  return live;
}

void Engine::Impl::step(std::vector<SequenceEvent>& events) {
  const StepPlan plan = make_plan();
  std::vector<StepReport> reports = run(plan);
  count(plan, reports);
  publisher.publish(plan, reports, events);
  trace_step(plan, reports);
}

// A step without rows.
void Engine::Impl::move_pages() {
  const StepPlan plan = make_plan();
  trace_step(plan, run(plan));
}

StepPlan Engine::Impl::make_plan() {
  times.begun_us = clock.now_us();
  scheduler.tiers().tick(times.begun_us / 1'000'000);
  StepPlan plan = scheduler.plan();
  times.planned_us = clock.now_us();
  stats.planning_us += times.planned_us - times.begun_us;
  return plan;
}

std::vector<StepReport> Engine::Impl::run(const StepPlan& plan) {
  Bytes bytes = encode(plan);
  stats.plan_bytes += bytes.size();
  group.control->broadcast(bytes);
  times.sent_us = clock.now_us();
  std::vector<StepReport> reports = worker.execute(decode_plan(bytes));  // what every other rank executes, from the same bytes
  times.executed_us = clock.now_us();
  check_digests(plan, reports, scheduler.tables());
  for (const StepReport& report : reports) scheduler.tiers().settle(report.moves);
  return reports;
}

void Engine::Impl::trace_step(const StepPlan& plan, std::span<const StepReport> reports) {
  if (options.trace == nullptr) return;
  times.committed_us = clock.now_us();
  const int32_t in_use = scheduler.frames_in_use();
  const int32_t free = scheduler.tiers().num_free();
  options.trace->step(plan, reports, times, {.frames_in_use = in_use, .frames_cached = options.num_frames - in_use - free, .frames_free = free,
                                             .running = scheduler.num_running(), .waiting = scheduler.num_waiting()});
}

void Engine::Impl::drain(std::vector<SequenceEvent>& events) {
  std::vector<Submission> new_requests;
  std::vector<SequenceId> new_cancels;
  {
    const std::lock_guard lock(mutex);
    new_requests.swap(submissions);
    new_cancels.swap(cancels);
  }
  for (auto& [id, request, at_us] : new_requests) {
    if (options.trace != nullptr) options.trace->arrived(id, request, at_us);
    SequenceEvent event;
    event.id = id;
    if (request.constraint != nullptr) masks.begin(id, request.constraint);
    const bool nothing_to_do = request.max_tokens == 0 && !request.pooling && (!request.prompt_logprobs || request.prompt.size() == 1);
    if (nothing_to_do && !request.prompt.empty()) {
      event.finish = FinishReason::kLength;
      events.push_back(std::move(event));
    } else if (std::optional<std::string> refusal = scheduler.submit(id, std::move(request))) {
      event.finish = FinishReason::kError;
      event.error = std::move(*refusal);
      events.push_back(std::move(event));
    }
  }
  for (const SequenceId id : new_cancels) {
    const std::optional<TokenSources> sources = scheduler.cancel(id);
    if (!sources) continue;
    stats.sources += *sources;
    SequenceEvent event;
    event.id = id;
    event.finish = FinishReason::kCancelled;
    event.sources = *sources;
    events.push_back(std::move(event));
  }
}

void Engine::Impl::count(const StepPlan& plan, const std::vector<StepReport>& reports) {
  ++stats.steps;
  int32_t prompt_tokens = 0;
  for (const PlanRow& row : plan.rows) {
    const Sequence& sequence = scheduler.sequence(row);
    const bool decode = row.num_tokens == 1 && row.first_position >= sequence.num_prompt();
    if (!decode) prompt_tokens += row.num_tokens;
  }
  stats.prompt_tokens += static_cast<uint64_t>(prompt_tokens);
  if (prompt_tokens > static_cast<int32_t>(plan.rows.size())) scheduler.observe_prefill(prompt_tokens, reports.front().compute_us);
  stats.rank_busy_us.resize(reports.size());
  int64_t least = INT64_MAX, most = 0;
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    const int64_t busy = reports[rank].compute_us - reports[rank].all_reduce_us;
    stats.rank_busy_us[rank] += busy;
    stats.reading += reports[rank].reading;
    least = std::min(least, busy);
    most = std::max(most, busy);
  }
  stats.skew_us += most - least;
  stats.frame_token_slots += static_cast<uint64_t>(scheduler.frames_in_use()) * static_cast<uint64_t>(options.cache.page_tokens);
  stats.kv_tokens += static_cast<uint64_t>(scheduler.tokens_in_frames());
}

}  // namespace terrace
