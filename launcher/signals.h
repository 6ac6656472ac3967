// Ctrl-C and SIGTERM as a request to end cleanly: noted here, acted on by the verb between two steps. A second one ends the process at once.
#pragma once

#include <atomic>

namespace terrace {

/// Watches SIGINT and SIGTERM from construction to destruction, and turns a closed pipe or a file's size limit into a failed write
/// instead of a death by SIGPIPE or SIGXFSZ.
/// One at a time, made before ranks start.
class SignalWatch {
 public:
  SignalWatch();
  ~SignalWatch();
  SignalWatch(const SignalWatch&) = delete;
  SignalWatch& operator=(const SignalWatch&) = delete;
  /// The signal that came, or 0. Any thread.
  const std::atomic<int>& received() const;
  /// 130 for SIGINT, 143 for SIGTERM, else 0.
  int exit_code() const;
};

}  // namespace terrace
