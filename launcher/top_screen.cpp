#include "launcher/top_screen.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json/value.hpp>
#include <boost/json/value_to.hpp>
#include <boost/system/system_error.hpp>
#include <string_view>

#include "kernels/base/error.h"
#include "launcher/progress.h"

namespace terrace {
namespace {

namespace json = boost::json;

double number(const json::value& value) { return value.to_number<double>(); }
double number(const json::object& stats, std::string_view name) { return number(stats.at(name)); }

// Of a counter, each second; 0 at the first look, and after the server started again.
double rate(const StatsChange& change, std::string_view name) {
  if (change.before.empty()) return 0;
  return std::max(0.0, number(change.now, name) - number(change.before, name)) / std::max(change.elapsed, 1e-3);
}

double for_each_step(const StatsChange& change, std::string_view name) {
  const double steps = rate(change, "steps");
  return steps > 0 ? rate(change, name) / steps : 0;
}

std::string time_text(double seconds) {
  if (seconds <= 0) return "-";
  if (seconds < 1e-3) return fmt::format("{:.0f} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.{}f} ms", seconds * 1e3, seconds < 0.1 ? 1 : 0);
  return fmt::format("{:.{}f} s", seconds, seconds < 10 ? 2 : 1);
}

std::string latency_row(const json::object& stats, std::string_view title, std::string_view name) {
  const json::object& values = stats.at(name).as_object();
  return fmt::format("  {:<12}{:>10}{:>10}{:>10}", title, time_text(number(values, "p50")), time_text(number(values, "p95")), time_text(number(values, "p99")));
}

std::string repeated(std::string_view what, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += what;
  return text;
}

// Pages in use, those let go less than ten seconds, less than ten minutes and longer ago, and free frames.
std::string tier_bar(const json::object& tier, int width) {
  const json::array& idle = tier.at("idle_by_age").as_array();
  const double frames = std::max(1.0, number(tier, "frames"));
  double old = 0, all_idle = 0;
  for (size_t age = 0; age < idle.size(); ++age) {
    all_idle += number(idle[age]);
    if (age >= 3) old += number(idle[age]);
  }
  const double youngest = number(idle.at(0));
  const std::pair<const char*, double> parts[] = {{"█", number(tier, "used") - all_idle}, {"▓", youngest}, {"▒", all_idle - youngest - old}, {"░", old}};
  std::string bar;
  int left = width;
  for (const auto& [cell, count] : parts) {
    const int cells = count <= 0 ? 0 : std::clamp(static_cast<int>(count / frames * width + 0.5), 1, std::max(left, 0));
    bar += repeated(cell, cells);
    left -= cells;
  }
  return bar + repeated("·", std::max(left, 0));
}

void add_tiers(std::vector<std::string>& lines, const StatsChange& change, int width) {
  lines.push_back(fmt::format("  {:<8}{:<{}}{:>17}{:>8}{:>8}", "tier", "", std::max(10, width - 48), "pages", "found", "in/s"));
  const json::array& tiers = change.now.at("tiers").as_array();
  for (size_t t = 0; t < tiers.size(); ++t) {
    const json::object& tier = tiers[t].as_object();
    if (number(tier, "frames") == 0) continue;
    const double before = change.before.empty() ? number(tier, "moved_in") : number(change.before.at("tiers").as_array().at(t).as_object(), "moved_in");
    const double moved = std::max(0.0, number(tier, "moved_in") - before) / std::max(change.elapsed, 1e-3);
    lines.push_back(fmt::format("  {:<8}{}{:>17}{:>8}{:>8.0f}", json::value_to<std::string>(tier.at("name")), tier_bar(tier, std::max(10, width - 48)),
                                fmt::format("{:.0f} of {:.0f}", number(tier, "used"), number(tier, "frames")), number(tier, "hit_tokens"), moved));
  }
  lines.emplace_back("          █ in use   ▓ let go under 10 s ago   ▒ under 10 min   ░ older   · free");
}

void add_ranks(std::vector<std::string>& lines, const StatsChange& change, int width) {
  const json::array& ranks = change.now.at("ranks").as_array();
  const int cells = std::max(10, width - 48);
  for (size_t r = 0; r < ranks.size(); ++r) {
    double busy = 0;
    if (const json::value* before = change.before.if_contains("ranks"); before != nullptr && r < before->as_array().size()) {
      busy = (number(ranks[r].as_object(), "busy_seconds") - number(before->as_array()[r].as_object(), "busy_seconds")) / std::max(change.elapsed, 1e-3);
    }
    const int full = static_cast<int>(std::clamp(busy, 0.0, 1.0) * cells + 0.5);
    lines.push_back(fmt::format("  {:<8}{}{}{:>10.0f} % busy", fmt::format("rank {}", r), repeated("█", full), repeated("·", cells - full), std::clamp(busy, 0.0, 1.0) * 100));
  }
}

std::vector<std::string> make_screen(const StatsChange& change, const std::string& server, int width) {
  const json::object& now = change.now;
  std::vector<std::string> lines = {
      fmt::format("terrace {}   {}   up {}", json::value_to<std::string>(now.at("version")), server, format_duration(number(now, "uptime_seconds"))),
      "",
      fmt::format("  tokens/s    {:>8.1f}    prompt tokens/s {:>8.1f}    answers/min {:>6.1f}", number(now, "tokens_per_second"), rate(change, "prompt_tokens"),
                  number(now, "requests_per_second") * 60),
      fmt::format("  running     {:>8}    waiting         {:>8.0f}    headroom    {:>6.1f}/s", fmt::format("{:.0f}/{:.0f}", number(now, "running"), number(now, "max_sequences")),
                  number(now, "waiting"), number(now, "headroom_requests_per_second")),
      fmt::format("  steps/s     {:>8.1f}    tokens a step   {:>8.1f}    connections {:>6.0f}", rate(change, "steps"),
                  for_each_step(change, "generated_tokens") + for_each_step(change, "prompt_tokens"), number(now, "connections")),
      "",
      fmt::format("  {:<12}{:>10}{:>10}{:>10}", "last minute", "50 %", "95 %", "99 %"),
      latency_row(now, "first token", "time_to_first_token"),
      latency_row(now, "next token", "inter_token_latency"),
      latency_row(now, "answer", "request_latency"),
      ""};
  add_tiers(lines, change, width);
  lines.push_back("");
  add_ranks(lines, change, width);
  lines.push_back(fmt::format("  skew {} a step   planning {} a step   preemptions {:.0f}   damaged pages {:.0f}", time_text(for_each_step(change, "skew_seconds")),
                              time_text(for_each_step(change, "planning_seconds")), number(now, "preemptions"), number(now, "checksum_failures")));
  for (std::string& line : lines) line = clipped(line, width);
  return lines;
}

std::string make_line(const StatsChange& change) {
  const json::object& now = change.now;
  std::string line = fmt::format("tokens/s {:.1f}  running {:.0f}  waiting {:.0f}  first token {}  next token {}", number(now, "tokens_per_second"), number(now, "running"),
                                 number(now, "waiting"), time_text(number(now.at("time_to_first_token").as_object(), "p50")),
                                 time_text(number(now.at("inter_token_latency").as_object(), "p50")));
  for (const json::value& value : now.at("tiers").as_array()) {
    const json::object& tier = value.as_object();
    if (number(tier, "frames") > 0) line += fmt::format("  {} {:.0f} %", json::value_to<std::string>(tier.at("name")), 100 * number(tier, "used") / number(tier, "frames"));
  }
  return line;
}

// Whatever the server sends, it is a figure or nothing that is shown.
template <typename Make>
auto checked(Make make) {
  try {
    return make();
  } catch (const std::exception&) {  // a key that is missing, or another type
    throw Error(ErrorCode::kInvalidValue, "what /stats answers is not of a terrace server of this version");
  }
}

}  // namespace

std::string clipped(const std::string& text, int width) {
  std::string kept;
  for (const char c : text) {
    const bool continues = (static_cast<unsigned char>(c) & 0xC0) == 0x80;
    if (!continues && --width < 0) break;
    kept += static_cast<unsigned char>(c) < ' ' || c == 0x7F ? ' ' : c;
  }
  return kept;
}

std::vector<std::string> top_screen(const StatsChange& change, const std::string& server, int width) {
  return checked([&] { return make_screen(change, server, width); });
}

std::string top_line(const StatsChange& change) {
  return checked([&] { return make_line(change); });
}

}  // namespace terrace
