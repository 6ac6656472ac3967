#include "launcher/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

namespace terrace {
namespace {

constexpr int kBarWidth = 24;

void put(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

std::optional<ProgressMode> progress_mode_from_name(std::string_view name) {
  if (name == "auto") return ProgressMode::kAuto;
  if (name == "bar") return ProgressMode::kBar;
  if (name == "plain") return ProgressMode::kPlain;
  if (name == "none") return ProgressMode::kNone;
  return std::nullopt;
}

Progress::Progress(ProgressMode mode) : mode_(mode) {
  if (mode_ == ProgressMode::kAuto) mode_ = ::isatty(STDERR_FILENO) != 0 ? ProgressMode::kBar : ProgressMode::kPlain;
}

Progress::~Progress() {
  if (line_open_) put("\n");
}

void Progress::update(double fraction, std::string_view text) {
  const auto now = std::chrono::steady_clock::now();
  const auto interval = mode_ == ProgressMode::kBar ? std::chrono::milliseconds(100) : std::chrono::milliseconds(5000);
  if (!enabled() || (!first_ && now - last_ < interval)) return;
  if (first_ && mode_ == ProgressMode::kPlain) {  // short work says nothing but its end
    first_ = false;
    last_ = now;
    return;
  }
  first_ = false;
  last_ = now;
  draw(fraction, text);
}

void Progress::finish(std::string_view text) {
  if (!enabled()) return;
  draw(1.0, text);
  if (line_open_) put("\n");
  line_open_ = false;
}

void Progress::clear() {
  if (line_open_) put("\r\x1b[K");
  line_open_ = false;
}

void Progress::draw(double fraction, std::string_view text) {
  if (mode_ == ProgressMode::kPlain) return put(fmt::format("{}\n", text));
  const int filled = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kBarWidth);
  put(fmt::format("\r\x1b[K[{:=<{}}{: <{}}] {}", "", filled, "", kBarWidth - filled, text));
  line_open_ = true;
}

std::string format_duration(double seconds) {
  const auto whole = static_cast<long>(std::max(seconds, 0.0) + 0.5);
  if (whole < 60) return fmt::format("{}s", whole);
  if (whole < 3600) return fmt::format("{}m {:02}s", whole / 60, whole % 60);
  return fmt::format("{}h {:02}m", whole / 3600, whole / 60 % 60);
}

}  // namespace terrace
