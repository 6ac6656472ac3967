// A progress line on stderr that is redrawn on a terminal, printed now and then elsewhere, or not at all. One thread.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace terrace {

enum class ProgressMode { kAuto, kBar, kPlain, kNone };

/// "auto", "bar", "plain", "none"; nullopt for anything else.
std::optional<ProgressMode> progress_mode_from_name(std::string_view name);

class Progress {
 public:
  /// kAuto: a bar when stderr is a terminal, else plain lines. Under mpirun a rank's stderr is a pipe, so the user says `bar` there.
  explicit Progress(ProgressMode mode);
  ~Progress();

  /// Shows `fraction` (0..1) and `text`, at most ten times a second (bar) or once in five seconds (plain).
  void update(double fraction, std::string_view text);
  /// Ends the line with `text` as its last state.
  void finish(std::string_view text);
  /// Takes a bar off the screen, so that what follows begins on an empty line; plain lines stay.
  void clear();
  bool enabled() const { return mode_ != ProgressMode::kNone; }

 private:
  void draw(double fraction, std::string_view text);

  ProgressMode mode_;
  bool line_open_ = false;
  std::chrono::steady_clock::time_point last_;
  bool first_ = true;
};

/// "1m 05s".
std::string format_duration(double seconds);

}  // namespace terrace
