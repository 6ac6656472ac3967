// What a load test has measured, and its report: for people, as Markdown or as JSON. Pure.
//
// The terms are those of vLLM's and NVIDIA's tools: time to first token (from when the request was due to the first piece of text), inter-token latency (each
// gap between two pieces that follow one another), time per output token (of one request: all but the first token's time, by the tokens after it).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "launcher/bench/percentiles.h"

namespace terrace {

/// One request; times in seconds after the beginning of the test.
struct LoadOutcome {
  double due = 0;      // when it should have been sent
  double started = 0;  // when it was: later where this side was busy
  std::optional<double> first_piece;
  double ended = 0;
  std::vector<double> gaps;  // between pieces of text, seconds
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;  // as the server counts, else its pieces of text
  std::string error;  // its kind ("HTTP 429"); empty: complete
  std::string detail;  // of the error

  double time_to_first() const { return first_piece.value_or(ended) - due; }
  /// nullopt for fewer than two tokens.
  std::optional<double> time_per_token() const;
};

/// Seconds; what is absent is no condition.
struct LatencyTarget {
  std::optional<double> time_to_first, time_per_token;
  bool given() const { return time_to_first || time_per_token; }
  bool met_by(const LoadOutcome& outcome) const;
};

struct LoadResult {
  std::vector<LoadOutcome> outcomes;  // of what ended
  std::vector<int64_t> client_pieces;  // pieces of text by client, until no more requests were begun; with a fixed concurrency
};

struct LoadReport {
  std::string heading;
  LatencyTarget target;
  size_t completed = 0;
  std::map<std::string, std::pair<size_t, std::string>> errors;  // by kind: how many, and one's detail
  double seconds = 0;  // from the first request to the last end
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  Percentiles time_to_first, gaps, time_per_token, whole, lateness;
  size_t good = 0;  // completed ones that meet the target
  std::optional<double> unfairness;  // pieces of the client that got most / of the one that got least

  size_t failed() const;
  double per_second(double count) const { return seconds > 0 ? count / seconds : 0; }
};

LoadReport make_load_report(std::string heading, const LoadResult& result, const LatencyTarget& target);
std::string load_report_table(const LoadReport& report, bool markdown);
std::string load_report_json(const LoadReport& report);

}  // namespace terrace
