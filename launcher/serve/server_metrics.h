// What a server counts about its requests: totals and histograms since the start for Prometheus, rates and percentiles of the last minute for people.
// Any thread; names as vLLM's, with the prefix terrace_ (DECISIONS 38), so that dashboards carry over.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "launcher/serve/histogram.h"
#include "launcher/serve/recent.h"
#include "launcher/serve/request_times.h"
#include "runtime/engine.h"

namespace terrace {

class ServerMetrics {
 public:
  ServerMetrics();

  /// A token of a request came: notes it in `times`, too, and in `choice_us`, when the last one of its choice came (0: none did).
  void token(RequestTimes& times, int64_t& choice_us, int64_t now_us);
  /// `reason`: stop, length, error or abort.
  void finished(std::string_view reason, const RequestTimes& times);
  /// An HTTP answer. `route`: the path as the server names it, never what a client sent.
  void answered(std::string_view route, int status);
  /// Requests that ended in the last minute, per second.
  double requests_per_second() const;
  struct Gauges {
    EngineStats engine;
    size_t queued = 0;
    int32_t max_sequences = 0;
    int32_t connections = 0;
  };
  /// In Prometheus' text format.
  std::string text(const Gauges& gauges) const;
  /// The same figures as of the last minute, for `terrace top` and the page.
  boost::json::object live(const Gauges& gauges) const;

 private:
  double headroom(const Gauges& gauges) const;

  const int64_t started_us_;
  mutable std::mutex mutex_;
  Histogram time_to_first_token_, inter_token_latency_, request_latency_, queue_time_;
  std::map<std::string, uint64_t, std::less<>> finished_;                       // by reason
  std::map<std::pair<std::string, int>, uint64_t> answered_;  // by route and status
  RecentValues recent_first_token_, recent_gap_, recent_latency_;
  RecentRate recent_tokens_, recent_finished_;
};

}  // namespace terrace
