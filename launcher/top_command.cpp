#include "launcher/top_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/clock.h"
#include "kernels/base/error.h"
#include "launcher/http/http_get.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"
#include "launcher/top_screen.h"

namespace terrace {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

/// The alternate screen, without a cursor and with keys as they come; all as before when destroyed.
class Terminal {
 public:
  Terminal() {
    if (::tcgetattr(STDIN_FILENO, &before_) == 0) {
      termios keys = before_;
      keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
      keys_as_they_come_ = ::tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
    }
    write_stdout("\x1b[?1049h\x1b[?25l");
  }
  ~Terminal() {
    try {
      write_stdout("\x1b[?25h\x1b[?1049l");
    } catch (const Error&) {  // the terminal has gone
    }
    if (keys_as_they_come_) ::tcsetattr(STDIN_FILENO, TCSANOW, &before_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  static winsize size() {
    winsize size = {};
    if (::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) size = {.ws_row = 24, .ws_col = 80, .ws_xpixel = 0, .ws_ypixel = 0};
    return size;
  }
  static void draw(const std::vector<std::string>& lines, int rows) {
    std::string text = "\x1b[H";
    for (size_t i = 0; i < lines.size() && static_cast<int>(i) < rows; ++i) text += (i == 0 ? "\x1b[1m" : "\r\n") + lines[i] + "\x1b[0m\x1b[K";
    write_stdout(text + "\x1b[J");
  }

 private:
  termios before_ = {};
  bool keys_as_they_come_ = false;
};

boost::json::object look(const Url& url, const std::string& key) {
  const HttpAnswer answer = http_get(url, "/stats", key, kPatience);
  if (answer.status == 401) throw Error(ErrorCode::kInvalidValue, "the server wants a key that it knows: give it by --api-key or in TERRACE_API_KEY");
  boost::system::error_code error;
  boost::json::value value = boost::json::parse(answer.body, error);
  if (answer.status != 200 || error || !value.is_object()) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("{}/stats is answered with status {}: this is not a terrace server, or not its address", url.authority(), answer.status));
  }
  return std::move(value.as_object());
}

// True when q was typed, or a signal came.
bool wait(double seconds, bool keys, const SignalWatch& signals) {
  const int64_t until = steady_clock().now_us() + static_cast<int64_t>(seconds * 1e6);
  while (steady_clock().now_us() < until && signals.received() == 0) {
    pollfd input = {.fd = keys ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
    const auto left_ms = static_cast<int>((until - steady_clock().now_us()) / 1000);
    if (::poll(&input, 1, std::clamp(left_ms, 1, 100)) <= 0) continue;
    char key = 0;
    if (::read(STDIN_FILENO, &key, 1) <= 0) keys = false;  // closed: time alone ends it
    if (key == 'q' || key == 'Q') return true;
  }
  return signals.received() != 0;
}

}  // namespace

int run_top(const TopOptions& options) {
  const Url url = parse_url(options.url);
  const std::string server = fmt::format("{}://{}{}", url.tls ? "https" : "http", url.authority(), url.path);
  const SignalWatch signals;
  StatsChange change;
  change.now = look(url, options.api_key);  // a wrong address is an error; a server that goes away later is waited for
  int64_t at_us = steady_clock().now_us();
  const bool screen = ::isatty(STDOUT_FILENO) == 1;
  std::optional<Terminal> terminal;
  if (screen) terminal.emplace();
  std::string problem;
  for (int looks = 1;; ++looks) {
    if (screen) {
      const winsize size = Terminal::size();
      Terminal::draw(problem.empty() ? top_screen(change, server, size.ws_col) : std::vector{clipped(problem, size.ws_col)}, size.ws_row);
    } else {
      write_stdout((problem.empty() ? top_line(change) : problem) + "\n");
    }
    if (looks == options.count || wait(options.interval, screen, signals)) return signals.exit_code();
    try {
      boost::json::object now = look(url, options.api_key);
      const int64_t now_us = steady_clock().now_us();
      const bool same_run = now.at("uptime_seconds").to_number<double>() >= change.now.at("uptime_seconds").to_number<double>();
      change = {std::move(now), same_run ? std::move(change.now) : boost::json::object(), static_cast<double>(now_us - at_us) * 1e-6};
      at_us = now_us;
      problem.clear();
    } catch (const Error& error) {
      problem = fmt::format("{} does not answer: {}", server, error.what());
    }
  }
}

}  // namespace terrace
