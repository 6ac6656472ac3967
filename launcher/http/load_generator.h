// Sends a series of requests to a server, at their times or so many at a time, and notes what comes of each. One thread, the caller's.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "launcher/bench/load_report.h"
#include "launcher/bench/load_source.h"
#include "launcher/http/stream_client.h"

namespace terrace {

struct LoadPlan {
  // One of the three: so many clients that each send the next request when their last was answered; a Poisson process of so many requests a second, whatever
  // becomes of them; else each when its source says.
  std::optional<int32_t> concurrency;
  std::optional<double> rate;
  // At least one of the two, else the source's own number: no request is begun beyond either.
  std::optional<int64_t> requests;
  std::optional<double> seconds;
  uint64_t seed = 1;
};

struct LoadProgress {
  double seconds = 0;
  double fraction = 0;  // of what is planned
  int64_t begun = 0, ended = 0, failed = 0, pieces = 0;
};

/// Runs all of it, or until `keep_on` says no, which is asked ten times a second; requests that are then under way are not in the result.
LoadResult run_load(StreamClient& client, const LoadSource& source, const LoadPlan& plan, const std::function<bool(const LoadProgress&)>& keep_on);

}  // namespace terrace
