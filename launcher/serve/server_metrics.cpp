#include "launcher/serve/server_metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>

#include "kernels/base/clock.h"
#include "launcher/serve/metrics_text.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, kNumTiers> kTierNames = {"device", "host", "disk"};

const std::vector<double> kLatencyBounds = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 640};
const std::vector<double> kGapBounds = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2.5, 5};

double seconds(int64_t us) { return static_cast<double>(us) * 1e-6; }

void write_tiers(MetricsText& out, const EngineStats& stats) {
  const TierStats& tiers = stats.tiers;
  const std::array<int64_t, kNumTiers> hits = {stats.sources.device, stats.sources.host, stats.sources.disk};
  out.family("terrace_prefix_hit_tokens_total", "counter", "Prompt tokens whose keys and values were found in a tier, of requests that ended");
  for (size_t t = 0; t < kNumTiers; ++t) out.sample(static_cast<double>(hits[t]), {{"tier", kTierNames[t]}});
  out.counter("terrace_computed_tokens_total", "Tokens whose keys and values were computed, of requests that ended", static_cast<double>(stats.sources.computed));
  out.family("terrace_kv_usage_ratio", "gauge", "Share of a tier's frames that hold pages");
  for (size_t t = 0; t < kNumTiers; ++t) {
    if (stats.frames_total[t] > 0) out.sample(static_cast<double>(stats.frames_used[t]) / stats.frames_total[t], {{"tier", kTierNames[t]}});
  }
  out.family("terrace_pages_moved_total", "counter", "KV pages moved into a tier: fetched into device, evicted into host and disk");
  for (size_t t = 0; t < kNumTiers; ++t) out.sample(static_cast<double>(tiers.moved_in[t]), {{"tier", kTierNames[t]}});
  out.family("terrace_pages_dropped_total", "counter", "Copies of KV pages given up for room");
  for (size_t t = 0; t < kNumTiers; ++t) out.sample(static_cast<double>(tiers.dropped[t]), {{"tier", kTierNames[t]}});
  out.family("terrace_page_moves_failed_total", "counter", "Moves out of a tier that a rank could not make");
  for (size_t t = 0; t < kNumTiers; ++t) out.sample(static_cast<double>(tiers.failed[t]), {{"tier", kTierNames[t]}});
  out.counter("terrace_checksum_failures_total", "KV pages that came back damaged, and were computed again", static_cast<double>(tiers.checksum_failures));
  out.counter("terrace_sparse_pages_read_total", "KV pages that tokens read whose attention is sparse (attention.sparse), by layer and KV head", static_cast<double>(stats.reading.pages_read));
  out.counter("terrace_sparse_pages_seen_total", "Those, and the pages that such tokens left out", static_cast<double>(stats.reading.pages_seen));
}

void write_ranks(MetricsText& out, const EngineStats& stats) {
  out.family("terrace_rank_busy_seconds_total", "counter", "Time that a rank computed, waiting for the others left out");
  for (size_t rank = 0; rank < stats.rank_busy_us.size(); ++rank) {
    out.sample(seconds(stats.rank_busy_us[rank]), {{"rank", fmt::format("{}", rank)}});
  }
  out.counter("terrace_step_skew_seconds_total", "Sum over steps of the slowest rank's time less the fastest's", seconds(stats.skew_us));
  out.counter("terrace_steps_total", "Steps", static_cast<double>(stats.steps));
  out.counter("terrace_planning_seconds_total", "Time of rank 0 spent planning", seconds(stats.planning_us));
}

json::array live_tiers(const EngineStats& stats) {
  json::array tiers;
  const std::array<int64_t, kNumTiers> hits = {stats.sources.device, stats.sources.host, stats.sources.disk};
  for (size_t t = 0; t < kNumTiers; ++t) {
    const PageAgeCounts& ages = stats.page_ages[t];
    tiers.push_back(json::object{{"name", kTierNames[t]},
                                 {"frames", stats.frames_total[t]},
                                 {"used", stats.frames_used[t]},
                                 {"held", ages.held},
                                 {"idle_by_age", json::array(ages.idle.begin(), ages.idle.end())},
                                 {"moved_in", stats.tiers.moved_in[t]},
                                 {"dropped", stats.tiers.dropped[t]},
                                 {"hit_tokens", hits[t]}});
  }
  return tiers;
}

}  // namespace

ServerMetrics::ServerMetrics()
    : started_us_(steady_clock().now_us()),
      time_to_first_token_(kLatencyBounds), inter_token_latency_(kGapBounds), request_latency_(kLatencyBounds), queue_time_(kLatencyBounds) {}

void ServerMetrics::token(RequestTimes& times, int64_t& choice_us, int64_t now_us) {
  const std::lock_guard lock(mutex_);
  if (times.num_tokens == 0) {
    times.first_token_us = now_us;
    time_to_first_token_.observe(seconds(now_us - times.arrived_us));
    recent_first_token_.add(seconds(now_us - times.arrived_us), now_us);
    queue_time_.observe(seconds(times.started_us - times.arrived_us));
  }
  if (choice_us != 0) {
    inter_token_latency_.observe(seconds(now_us - choice_us));
    recent_gap_.add(seconds(now_us - choice_us), now_us);
  }
  times.last_token_us = choice_us = now_us;
  ++times.num_tokens;
  recent_tokens_.add(1, now_us);
}

void ServerMetrics::finished(std::string_view reason, const RequestTimes& times) {
  const int64_t now = steady_clock().now_us();
  const std::lock_guard lock(mutex_);
  ++finished_[std::string(reason)];
  if (times.started_us == 0) return;  // gave up in the queue: says nothing of how fast requests are answered
  request_latency_.observe(seconds(now - times.arrived_us));
  recent_latency_.add(seconds(now - times.arrived_us), now);
  recent_finished_.add(1, now);
}

void ServerMetrics::answered(std::string_view route, int status) {
  const std::lock_guard lock(mutex_);
  ++answered_[{std::string(route), status}];
}

double ServerMetrics::requests_per_second() const {
  const std::lock_guard lock(mutex_);
  return recent_finished_.per_second(steady_clock().now_us());
}

// By Little's law the requests that run are rate x latency; with all sequences in use at today's latency the rate would be so much higher.
double ServerMetrics::headroom(const Gauges& gauges) const {
  const int64_t now = steady_clock().now_us();
  const double latency = recent_latency_.percentile(0.5, now);
  if (latency <= 0) return 0;
  const int32_t busy = gauges.engine.running + gauges.engine.waiting + static_cast<int32_t>(gauges.queued);
  return std::max(0.0, static_cast<double>(gauges.max_sequences - busy) / latency);
}

std::string ServerMetrics::text(const Gauges& gauges) const {
  const std::lock_guard lock(mutex_);
  const EngineStats& stats = gauges.engine;
  MetricsText out;
  out.gauge("terrace_num_requests_running", "Sequences that the engine is computing", stats.running);
  out.gauge("terrace_num_requests_waiting", "Requests that wait for their turn", static_cast<double>(stats.waiting) + static_cast<double>(gauges.queued));
  out.gauge("terrace_open_connections", "Connections of clients", gauges.connections);
  out.gauge("terrace_headroom_requests_per_second", "Requests a second that could be taken on at the last minute's median latency (an estimate)", headroom(gauges));
  out.counter("terrace_prompt_tokens_total", "Prompt tokens computed", static_cast<double>(stats.prompt_tokens));
  out.counter("terrace_generation_tokens_total", "Tokens generated", static_cast<double>(stats.generated_tokens));
  out.counter("terrace_preemptions_total", "Sequences that gave their pages back to others", static_cast<double>(stats.preemptions));
  write_tiers(out, stats);
  write_ranks(out, stats);
  const std::pair<std::pair<const char*, const char*>, const Histogram*> histograms[] = {
      {{"terrace_time_to_first_token_seconds", "From a request's arrival to its first token"}, &time_to_first_token_},
      {{"terrace_inter_token_latency_seconds", "From one token of a choice to its next"}, &inter_token_latency_},
      {{"terrace_e2e_request_latency_seconds", "From a request's arrival to its end"}, &request_latency_},
      {{"terrace_request_queue_time_seconds", "From a request's arrival to the engine"}, &queue_time_},
  };
  for (const auto& [name, histogram] : histograms) {
    out.family(name.first, "histogram", name.second);
    out.histogram(*histogram);
  }
  out.family("terrace_request_success_total", "counter", "Requests that ended, by reason");
  for (const auto& [reason, count] : finished_) out.sample(static_cast<double>(count), {{"finished_reason", reason}});
  out.family("terrace_http_requests_total", "counter", "HTTP answers by route and status");
  for (const auto& [key, count] : answered_) out.sample(static_cast<double>(count), {{"route", key.first}, {"status", fmt::format("{}", key.second)}});
  return out.text();
}

json::object ServerMetrics::live(const Gauges& gauges) const {
  const std::lock_guard lock(mutex_);
  const EngineStats& stats = gauges.engine;
  const int64_t now = steady_clock().now_us();
  const auto percentiles = [now](const RecentValues& values) {
    return json::object{{"p50", values.percentile(0.5, now)}, {"p95", values.percentile(0.95, now)}, {"p99", values.percentile(0.99, now)}};
  };
  json::array ranks;
  for (const int64_t us : stats.rank_busy_us) ranks.push_back(json::object{{"busy_seconds", seconds(us)}});
  return {{"version", TERRACE_VERSION},
          {"uptime_seconds", seconds(now - started_us_)},
          {"running", stats.running},
          {"waiting", stats.waiting + static_cast<int64_t>(gauges.queued)},
          {"queued", gauges.queued},
          {"max_sequences", gauges.max_sequences},
          {"connections", gauges.connections},
          {"steps", stats.steps},
          {"prompt_tokens", stats.prompt_tokens},
          {"generated_tokens", stats.generated_tokens},
          {"preemptions", stats.preemptions},
          {"checksum_failures", stats.tiers.checksum_failures},
          {"tokens_per_second", recent_tokens_.per_second(now, 5'000'000)},
          {"requests_per_second", recent_finished_.per_second(now)},
          {"headroom_requests_per_second", headroom(gauges)},
          {"time_to_first_token", percentiles(recent_first_token_)},
          {"inter_token_latency", percentiles(recent_gap_)},
          {"request_latency", percentiles(recent_latency_)},
          {"computed_tokens", stats.sources.computed},
          {"page_age_bounds_seconds", json::array(kPageAgeBounds.begin(), kPageAgeBounds.end())},
          {"tiers", live_tiers(stats)},
          {"ranks", std::move(ranks)},
          {"skew_seconds", seconds(stats.skew_us)},
          {"planning_seconds", seconds(stats.planning_us)}};
}

}  // namespace terrace
