#include "kernels/base/log.h"

#include <unistd.h>

#include <string>

namespace terrace {
namespace {

// The process has one stderr, and so one prefix.
std::string prefix_text;

}  // namespace

void set_log_prefix(std::string_view prefix) { prefix_text = prefix; }

void log_line(LogLevel level, std::string_view message) {
  std::string line = prefix_text;
  if (level == LogLevel::kWarning) line += "warning: ";
  if (level == LogLevel::kError) line += "error: ";
  line += message;
  line += '\n';
  // One write per line: lines of several threads and ranks do not interleave.
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace terrace
