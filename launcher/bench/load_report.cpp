#include "launcher/bench/load_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <utility>

#include "launcher/bench/text_table.h"

namespace terrace {
namespace {

namespace json = boost::json;

// A client or a network that lags by more than this is part of what was measured.
constexpr double kLate = 0.01;

struct Latency {
  const char* title;
  const char* key;
  const Percentiles& values;
};

std::array<Latency, 4> latencies(const LoadReport& report) {
  return {{{"time to first token", "time_to_first_token_ms", report.time_to_first},
           {"inter-token latency", "inter_token_latency_ms", report.gaps},
           {"time per output token", "time_per_output_token_ms", report.time_per_token},
           {"end to end", "end_to_end_ms", report.whole}}};
}

std::string milliseconds(double seconds) { return short_number(seconds * 1000); }

std::string target_text(const LatencyTarget& target) {
  std::string text;
  if (target.time_to_first) text = fmt::format("time to first token <= {} ms", milliseconds(*target.time_to_first));
  if (target.time_per_token) text += fmt::format("{}time per output token <= {} ms", text.empty() ? "" : ", ", milliseconds(*target.time_per_token));
  return text;
}

TextTable latency_table(const LoadReport& report) {
  TextTable table({"ms", "mean", "p50", "p90", "p95", "p99", "max"});
  for (const auto& [title, key, values] : latencies(report)) {
    std::vector<std::string> cells = {title};
    for (const double value : {values.mean, values.p50, values.p90, values.p95, values.p99, values.max}) {
      cells.push_back(values.count > 0 ? milliseconds(value) : "-");
    }
    table.add(std::move(cells));
  }
  return table;
}

TextTable rate_table(const LoadReport& report) {
  TextTable table({"", "number", "a second"});
  const auto add = [&](const char* name, int64_t count) { table.add({name, whole_number(count), short_number(report.per_second(static_cast<double>(count)))}); };
  add("requests", static_cast<int64_t>(report.completed));
  if (report.target.given()) add("requests within the target", static_cast<int64_t>(report.good));
  add("input tokens", report.prompt_tokens);
  if (report.cached_tokens > 0) add("of them cached", report.cached_tokens);
  add("output tokens", report.output_tokens);
  return table;
}

json::object to_json(const Percentiles& values) {
  return {{"count", values.count}, {"mean", 1e3 * values.mean}, {"p50", 1e3 * values.p50}, {"p90", 1e3 * values.p90},
          {"p95", 1e3 * values.p95}, {"p99", 1e3 * values.p99}, {"max", 1e3 * values.max}};
}

}  // namespace

std::optional<double> LoadOutcome::time_per_token() const {
  if (output_tokens < 2 || !first_piece) return std::nullopt;
  return (ended - *first_piece) / static_cast<double>(output_tokens - 1);
}

bool LatencyTarget::met_by(const LoadOutcome& outcome) const {
  if (!outcome.error.empty()) return false;
  if (time_to_first && outcome.time_to_first() > *time_to_first) return false;
  return !time_per_token || outcome.time_per_token().value_or(0) <= *time_per_token;
}

size_t LoadReport::failed() const {
  size_t count = 0;
  for (const auto& [kind, error] : errors) count += error.first;
  return count;
}

LoadReport make_load_report(std::string heading, const LoadResult& result, const LatencyTarget& target) {
  LoadReport report;
  report.heading = std::move(heading);
  report.target = target;
  std::vector<double> first, gaps, per_token, whole, late;
  double begun = 0, ended = 0;
  for (const LoadOutcome& outcome : result.outcomes) {
    begun = &outcome == result.outcomes.data() ? outcome.due : std::min(begun, outcome.due);
    ended = std::max(ended, outcome.ended);
    late.push_back(outcome.started - outcome.due);
    if (!outcome.error.empty()) {
      auto& [count, detail] = report.errors[outcome.error];
      if (count++ == 0) detail = outcome.detail;
      continue;
    }
    ++report.completed;
    report.good += target.met_by(outcome) ? 1 : 0;
    report.prompt_tokens += outcome.prompt_tokens;
    report.cached_tokens += outcome.cached_tokens;
    report.output_tokens += outcome.output_tokens;
    first.push_back(outcome.time_to_first());
    gaps.insert(gaps.end(), outcome.gaps.begin(), outcome.gaps.end());
    if (const auto time = outcome.time_per_token()) per_token.push_back(*time);
    whole.push_back(outcome.ended - outcome.due);
  }
  report.seconds = ended - begun;
  report.time_to_first = percentiles_of(std::move(first));
  report.gaps = percentiles_of(std::move(gaps));
  report.time_per_token = percentiles_of(std::move(per_token));
  report.whole = percentiles_of(std::move(whole));
  report.lateness = percentiles_of(std::move(late));
  const auto& pieces = result.client_pieces;
  if (pieces.size() > 1 && std::ranges::min(pieces) > 0) {
    report.unfairness = static_cast<double>(std::ranges::max(pieces)) / static_cast<double>(std::ranges::min(pieces));
  }
  return report;
}

std::string load_report_table(const LoadReport& report, bool markdown) {
  const auto show = [markdown](const TextTable& table) { return markdown ? table.markdown() : table.plain(); };
  std::string text = fmt::format("{}: {} completed, {} failed in {:.2f} s\n\n{}\n{}", report.heading, whole_number(static_cast<int64_t>(report.completed)),
                                 whole_number(static_cast<int64_t>(report.failed())), report.seconds, show(latency_table(report)), show(rate_table(report)));
  if (report.target.given()) {
    const size_t all = report.completed + report.failed();
    text += fmt::format("\ngoodput ({}): {:.1f} % of the requests, {} a second\n", target_text(report.target),
                        all > 0 ? 100.0 * static_cast<double>(report.good) / static_cast<double>(all) : 0, short_number(report.per_second(static_cast<double>(report.good))));
  }
  if (report.unfairness) text += fmt::format("\nthe client that got most had {:.2f} times the text of the one that got least\n", *report.unfairness);
  if (report.lateness.p99 > kLate) {
    text += fmt::format("\nthis side was late: one request in a hundred was sent {} ms or more after it was due\n", milliseconds(report.lateness.p99));
  }
  for (const auto& [kind, error] : report.errors) {
    text += fmt::format("\n{} failed, {}{}{}\n", whole_number(static_cast<int64_t>(error.first)), kind, error.second.empty() ? "" : ": ", error.second);
  }
  return text;
}

std::string load_report_json(const LoadReport& report) {
  json::object errors;
  for (const auto& [kind, error] : report.errors) errors[kind] = error.first;
  json::object body = {{"load", report.heading},
                       {"seconds", report.seconds},
                       {"completed", report.completed},
                       {"failed", report.failed()},
                       {"errors", std::move(errors)},
                       {"requests_per_second", report.per_second(static_cast<double>(report.completed))},
                       {"prompt_tokens", report.prompt_tokens},
                       {"cached_tokens", report.cached_tokens},
                       {"output_tokens", report.output_tokens},
                       {"output_tokens_per_second", report.per_second(static_cast<double>(report.output_tokens))}};
  for (const auto& [title, key, values] : latencies(report)) body[key] = to_json(values);
  body["lateness_ms"] = to_json(report.lateness);
  if (report.target.given()) {
    body["goodput"] = {{"target", target_text(report.target)}, {"requests", report.good}, {"requests_per_second", report.per_second(static_cast<double>(report.good))}};
  }
  if (report.unfairness) body["most_to_least_served_client"] = *report.unfairness;
  return json::serialize(body) + "\n";
}

}  // namespace terrace
