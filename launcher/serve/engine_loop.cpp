#include "launcher/serve/engine_loop.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "kernels/base/clock.h"

namespace terrace {
namespace {

constexpr auto kSignalPoll = std::chrono::milliseconds(50);  // a signal handler may not notify
constexpr auto kWriteBehindPause = std::chrono::milliseconds(5);         // in which the disk gets on
constexpr int64_t kStatsEveryUs = 50'000;
constexpr int64_t kIdleStatsEveryUs = 1'000'000;  // pages grow old also while nobody asks

int64_t cost_of(const Job& job) {
  int64_t cost = 0;
  for (const Request& choice : job.choices) cost += static_cast<int64_t>(choice.prompt.size()) + choice.max_tokens;
  return cost;
}

ApiError late() { return {408, "the request's timeout passed before its answer was complete", "timeout", "deadline_exceeded"}; }

}  // namespace

EngineLoop::EngineLoop(Engine& engine, ServerMetrics& metrics, const Options& options)
    : engine_(engine), metrics_(metrics), options_(options), queue_(options.max_queued), stats_(engine.live_stats()) {}

JobId EngineLoop::submit(Job job) {
  const int64_t now = steady_clock().now_us();
  JobId id = 0;
  {
    const std::lock_guard lock(mutex_);
    if (draining()) throw ApiError(503, "the server is about to end and takes no more requests", "", "overloaded");
    id = ++last_id_;
    if (!queue_.push({id, job.owner, job.priority, job.deadline_us, cost_of(job)})) {
      throw ApiError(429, "the server has as many requests as it may queue (server.max_queued); try again later", "", "overloaded");
    }
    open_.emplace(id, job.mailbox);
    waiting_.emplace(id, Waiting{std::move(job), now});
  }
  work_.notify_one();
  return id;
}

void EngineLoop::cancel(JobId id) { cancel_choice(id, -1); }

void EngineLoop::cancel_choice(JobId id, int32_t choice) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = waiting_.find(id); choice < 0 && found != waiting_.end()) {
      metrics_.finished("abort", {.arrived_us = found->second.arrived_us});
      waiting_.erase(found);
      queue_.remove(id);
      open_.erase(id);
      return;
    }
    cancels_.push_back({id, choice});
  }
  work_.notify_one();
}

size_t EngineLoop::num_queued() const {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

EngineStats EngineLoop::engine_stats() const {
  const std::lock_guard lock(mutex_);
  return stats_;
}

int EngineLoop::retry_after_seconds() const {
  const double per_second = std::max(metrics_.requests_per_second(), 0.1);
  return static_cast<int>(std::clamp(std::ceil(static_cast<double>(num_queued()) / per_second), 1.0, 60.0));
}

void EngineLoop::run(const std::atomic<int>& signal) {
  int64_t drain_until = 0;
  for (Wake wake; (wake = wait_for_work(signal)) != Wake::kEnd;) {
    if (wake == Wake::kIdle) {
      written_behind_ = !engine_.write_behind();
      publish_stats();
      continue;
    }
    const int64_t now = steady_clock().now_us();
    if (draining() && drain_until == 0) drain_until = now + options_.drain_us;
    if (draining() && now >= drain_until) return end_all({503, "the server ended before the answer was complete", "", "overloaded"});
    expire(now);
    take_in();
    step_engine();
  }
}

void EngineLoop::step_engine() {
  std::vector<SequenceEvent> events;
  if (engine_.busy()) {
    events = engine_.step();
    written_behind_ = false;
  }
  publish_stats();  // first: whoever has an answer finds it counted
  deliver(events);
}

// kEnd when all is done that was accepted before the signal; kIdle now and then while there are pages to write out and nothing else.
EngineLoop::Wake EngineLoop::wait_for_work(const std::atomic<int>& signal) {
  std::unique_lock lock(mutex_);
  for (bool waited = false;; waited = true) {
    if (signal.load() != 0) draining_ = true;
    const bool idle = running_.empty() && queue_.size() == 0 && cancels_.empty() && !engine_.busy();
    if (!idle) return Wake::kWork;
    if (draining()) return Wake::kEnd;
    if (waited && !written_behind_) return Wake::kIdle;
    if (const int64_t now = steady_clock().now_us(); now - stats_at_us_ > kIdleStatsEveryUs) {
      engine_.tick();
      stats_ = engine_.stats();
      stats_at_us_ = now;
    }
    work_.wait_for(lock, written_behind_ ? kSignalPoll : kWriteBehindPause);
  }
}

void EngineLoop::take_in() {
  std::vector<std::pair<JobId, Waiting>> starting;
  std::vector<Cancel> cancels;
  {
    const std::lock_guard lock(mutex_);
    cancels.swap(cancels_);
    auto in_flight = static_cast<int32_t>(places_.size());
    while (in_flight < options_.max_in_flight) {
      const std::optional<RequestQueue::Entry> entry = queue_.pop();
      if (!entry) break;
      auto job = waiting_.extract(entry->id);
      in_flight += static_cast<int32_t>(job.mapped().job.choices.size());
      starting.emplace_back(entry->id, std::move(job.mapped()));
    }
  }
  for (auto& [id, waiting] : starting) start(id, std::move(waiting));
  for (const Cancel& cancel : cancels) apply(cancel);
}

void EngineLoop::start(JobId id, Waiting waiting) {
  Running running;
  running.mailbox = std::move(waiting.job.mailbox);
  running.deadline_us = waiting.job.deadline_us;
  running.num_left = static_cast<int32_t>(waiting.job.choices.size());
  running.times = {.arrived_us = waiting.arrived_us, .started_us = steady_clock().now_us()};
  for (Request& request : waiting.job.choices) {
    const SequenceId sequence = engine_.submit(std::move(request));
    places_.emplace(sequence, Place{id, static_cast<int32_t>(running.choices.size())});
    running.choices.push_back({.sequence = sequence, .last_token_us = 0, .sources = {}});
  }
  running_.emplace(id, std::move(running));
}

void EngineLoop::apply(const Cancel& cancel) {
  const auto found = running_.find(cancel.job);
  if (found == running_.end()) return;
  Running& running = found->second;
  for (size_t i = 0; i < running.choices.size(); ++i) {
    SequenceId& sequence = running.choices[i].sequence;
    if (sequence == 0 || (cancel.choice >= 0 && static_cast<size_t>(cancel.choice) != i)) continue;
    engine_.cancel(sequence);
    places_.erase(sequence);
    sequence = 0;
    --running.num_left;
  }
  if (running.num_left > 0) return;
  metrics_.finished(cancel.choice >= 0 ? "stop" : "abort", running.times);
  running_.erase(found);
  close(cancel.job);
}

void EngineLoop::expire(int64_t now_us) {
  std::vector<std::shared_ptr<Mailbox>> expired;
  {
    const std::lock_guard lock(mutex_);
    for (const JobId id : queue_.take_expired(now_us)) {
      const auto late_one = waiting_.extract(id);
      metrics_.finished("abort", {.arrived_us = late_one.mapped().arrived_us});
      expired.push_back(late_one.mapped().job.mailbox);
      open_.erase(id);
    }
  }
  std::vector<JobId> running_late;
  for (const auto& [id, running] : running_) {
    if (running.deadline_us != 0 && running.deadline_us <= now_us) running_late.push_back(id);
  }
  for (const JobId id : running_late) {
    expired.push_back(running_.at(id).mailbox);
    apply({.job = id});
  }
  for (const auto& mailbox : expired) mailbox->fail(late());
}

void EngineLoop::deliver(const std::vector<SequenceEvent>& events) {
  std::vector<JobId> touched;
  const int64_t now = steady_clock().now_us();
  for (const SequenceEvent& event : events) {
    const auto place = places_.find(event.id);
    if (place == places_.end()) continue;  // cancelled
    const auto [id, choice] = place->second;
    Running& running = running_.at(id);
    Choice& own = running.choices[static_cast<size_t>(choice)];
    if (running.news.empty()) touched.push_back(id);
    if (event.token >= 0 && !event.is_prompt) metrics_.token(running.times, own.last_token_us, now);
    own.sources = event.sources;
    running.news.push_back({choice, event});
    if (event.finish == FinishReason::kNone) continue;
    own.sequence = 0;
    --running.num_left;
    places_.erase(place);
  }
  for (const JobId id : touched) {
    const auto found = running_.find(id);
    Running& running = found->second;
    const bool ended = running.num_left == 0;
    running.times.sources = {};
    for (const Choice& each : running.choices) running.times.sources += each.sources;
    const FinishReason last = running.news.back().event.finish;
    if (ended) metrics_.finished(last == FinishReason::kError ? "error" : last == FinishReason::kLength ? "length" : "stop", running.times);
    running.mailbox->put(std::exchange(running.news, {}), running.times);
    if (!ended) continue;
    running_.erase(found);
    close(id);
  }
}

void EngineLoop::close(JobId id) {
  const std::lock_guard lock(mutex_);
  open_.erase(id);
}

void EngineLoop::abandon(const ApiError& error) {
  std::unordered_map<JobId, std::shared_ptr<Mailbox>> open;
  {
    const std::lock_guard lock(mutex_);
    draining_ = true;
    open.swap(open_);
  }
  for (const auto& [id, mailbox] : open) mailbox->fail(error);
}

void EngineLoop::end_all(const ApiError& error) {
  abandon(error);
  for (const auto& [sequence, place] : places_) engine_.cancel(sequence);
  if (engine_.busy()) engine_.step();  // in which the cancels take effect
}

void EngineLoop::publish_stats() {
  const int64_t now = steady_clock().now_us();
  if (now - stats_at_us_ < kStatsEveryUs && engine_.busy()) return;
  stats_at_us_ = now;
  EngineStats stats = engine_.live_stats();
  const std::lock_guard lock(mutex_);
  stats_ = std::move(stats);
}

}  // namespace terrace
