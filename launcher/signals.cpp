#include "launcher/signals.h"

#include <csignal>

namespace terrace {
namespace {

// A handler has no argument to carry state in, so this is the one static that signals need.
std::atomic<int> received_signal = 0;
static_assert(std::atomic<int>::is_always_lock_free);

void set_handler(int signal, void (*handler)(int), int flags) {
  struct sigaction action = {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

SignalWatch::SignalWatch() {
  received_signal = 0;
  const auto note = [](int signal) { received_signal = signal; };
  // SA_RESETHAND: the second one has its default action.
  for (const int signal : {SIGINT, SIGTERM}) set_handler(signal, note, static_cast<int>(SA_RESTART | SA_RESETHAND));
  for (const int signal : {SIGPIPE, SIGXFSZ}) set_handler(signal, SIG_IGN, 0);
}

SignalWatch::~SignalWatch() {
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGXFSZ}) set_handler(signal, SIG_DFL, 0);
}

const std::atomic<int>& SignalWatch::received() const { return received_signal; }

int SignalWatch::exit_code() const {
  const int signal = received();
  return signal == 0 ? 0 : 128 + signal;
}

}  // namespace terrace
