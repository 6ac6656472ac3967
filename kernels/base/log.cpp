#include "kernels/base/log.h"

#include <unistd.h>

#include <atomic>
#include <string>

namespace terrace {
namespace {

// The process has one stderr, so its prefix and level are the one pair of statics in terrace.
std::string prefix_text;
std::atomic<LogLevel> lowest_level = LogLevel::kInfo;

}  // namespace

void set_log_prefix(std::string_view prefix) { prefix_text = prefix; }
void set_log_level(LogLevel level) { lowest_level = level; }

void log_line(LogLevel level, std::string_view message) {
  if (level < lowest_level.load(std::memory_order_relaxed)) return;
  std::string line = prefix_text;
  if (level == LogLevel::kWarning) line += "warning: ";
  if (level == LogLevel::kError) line += "error: ";
  line += message;
  line += '\n';
  // One write per line: lines of several threads and ranks do not interleave.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace terrace
