#include "launcher/stdio.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "kernels/base/error.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const char* what) {
  throw Error(ErrorCode::kIoError, fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

}  // namespace

std::string read_stdin() {
  std::string text;
  char buffer[1 << 16];
  while (true) {
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof(buffer));
    if (count == 0) return text;
    if (count > 0) text.append(buffer, static_cast<size_t>(count));
    if (count < 0 && errno != EINTR) fail("standard input cannot be read");
  }
}

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }

void write_stdout(std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(STDOUT_FILENO, text.data(), text.size());
    if (count >= 0) text.remove_prefix(static_cast<size_t>(count));
    if (count < 0 && errno != EINTR) fail("the result cannot be written to standard output");
  }
}

}  // namespace terrace
