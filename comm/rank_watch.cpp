#include "comm/rank_watch.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "kernels/base/log.h"

namespace terrace {
namespace {

constexpr int kLostRank = 6;          // exit code, DECISIONS 30
constexpr int kLookMs = 100;          // between two looks at the window
constexpr int kAbortGraceMs = 1'000;  // for the step thread to unwind by itself
constexpr int kSignalGraceMs = 300;   // for a death to show that mpirun's SIGTERM is the answer to

// A signal handler has no other way to find the watch.
std::atomic<int> signal_event_fd = -1;
std::atomic<int> signal_received = 0;

void on_signal(int signal) {
  signal_received.store(signal);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(signal_event_fd.load(), &one, sizeof(one));
}

void install_handlers() {
  for (const int signal : {SIGTERM, SIGINT}) {
    struct sigaction old {};
    sigaction(signal, nullptr, &old);
    if ((old.sa_flags & SA_SIGINFO) != 0 || old.sa_handler != SIG_DFL) continue;  // the program's own
    struct sigaction ours {};
    ours.sa_handler = on_signal;
    ours.sa_flags = SA_RESTART;
    sigaction(signal, &ours, nullptr);
  }
}

void remove_handlers() {
  for (const int signal : {SIGTERM, SIGINT}) {
    struct sigaction current {};
    sigaction(signal, nullptr, &current);
    if ((current.sa_flags & SA_SIGINFO) == 0 && current.sa_handler == on_signal) ::signal(signal, SIG_DFL);
  }
}

void sleep_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

}  // namespace

RankWatch::RankWatch(Window& window, int rank, std::string host, LastWords* last_words)
    : window_(window), rank_(rank), host_(std::move(host)), last_words_(last_words) {
  for (const int peer : window_.host_ranks()) {
    if (peer == rank_) continue;
    const int pid = window_.state(peer).pid.load();
    peers_.push_back({peer, pid, static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))});
  }
  event_fd_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  signal_event_fd.store(event_fd_);
  install_handlers();
  thread_ = std::thread([this] { run(); });
}

RankWatch::~RankWatch() {
  remove_handlers();
  stop_.store(true);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(event_fd_, &one, sizeof(one));
  thread_.join();
  signal_event_fd.store(-1);
  for (const Peer& peer : peers_) {
    if (peer.pidfd >= 0) ::close(peer.pidfd);
  }
  ::close(event_fd_);
}

void RankWatch::run() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);  // signals are for the program's threads
  while (!stop_.load()) {
    std::vector<pollfd> fds{{event_fd_, POLLIN, 0}};
    for (const Peer& peer : peers_) fds.push_back({peer.pidfd, POLLIN, 0});
    ::poll(fds.data(), fds.size(), kLookMs);
    if (const Peer* dead = find_dead()) report(*dead);
    if (const int signal = signal_received.load()) obey_signal(signal);
    leave_if_aborted(kAbortGraceMs);
  }
}

const RankWatch::Peer* RankWatch::find_dead() {
  for (Peer& peer : peers_) {
    bool gone = false;
    if (peer.pidfd >= 0) {
      pollfd fd{peer.pidfd, POLLIN, 0};
      gone = ::poll(&fd, 1, 0) == 1;
    } else if (peer.pid > 0) {
      gone = ::kill(peer.pid, 0) != 0 && errno == ESRCH;
    }
    if (!gone) continue;
    if (window_.state(peer.rank).left.load() == 0) return &peer;
    if (peer.pidfd >= 0) ::close(peer.pidfd);
    peer.pidfd = -1;  // gone in good order: neither way of looking applies any more
    peer.pid = 0;
  }
  return nullptr;
}

void RankWatch::report(const Peer& dead) {
  if (const auto code = window_.aborted()) leave(*code);
  // The lowest surviving rank prints; the others see to it that somebody does.
  const bool lower_lives = window_.leader() != rank_ && !(window_.leader() == dead.rank && window_.host_ranks()[1] == rank_);
  for (int waited = 0; lower_lives && waited < kSignalGraceMs && !window_.aborted(); waited += 10) sleep_ms(10);
  if (window_.claim_abort(kLostRank)) {
    log_error(fmt::format("rank {} (pid {} on {}) died in step {}: the job ends, every rank leaves with exit code {}", dead.rank, dead.pid, host_,
                          window_.state(dead.rank).step.load(), kLostRank));
  }
  leave(*window_.aborted());
}

void RankWatch::obey_signal(int signal) {
  for (int waited = 0; waited < kSignalGraceMs; waited += 10) {
    if (const Peer* dead = find_dead()) report(*dead);
    if (const auto code = window_.aborted()) leave(*code);
    sleep_ms(10);
  }
  window_.state(rank_).left.store(1);
  ::signal(signal, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  ::raise(signal);
  leave(128 + signal);
}

void RankWatch::leave_if_aborted(int grace_ms) {
  const auto code = window_.aborted();
  if (!code) return;
  for (int waited = 0; waited < grace_ms; waited += 10) {
    if (stop_.load()) return;
    sleep_ms(10);
  }
  leave(*code);
}

void RankWatch::leave(int code) {
  if (last_words_ != nullptr) last_words_->say();
  window_.state(rank_).left.store(1);
  ::_exit(code);
}

}  // namespace terrace
