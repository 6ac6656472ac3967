// Watches the processes of this host's ranks from a thread of its own: a rank that dies without leaving in good order ends the job with exit
// code 6 and one line that names it. Also ends this process when the job was aborted and its step thread is busy elsewhere.
//
// mpirun, too, sees the death and sends SIGTERM to the others. Where the program has not set a handler of its own for SIGTERM and SIGINT, the
// watch sets one: it looks for a dead rank first, so that the line comes out, and only then lets the signal do its work.
#pragma once

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "comm/last_words.h"
#include "comm/window.h"

namespace terrace {

class RankWatch {
 public:
  /// All ranks of the host have written their pid to the window. `host` is for the message; `last_words` may be nullptr.
  RankWatch(Window& window, int rank, std::string host, LastWords* last_words);
  /// Call after every rank has said that it left, or the end of the others looks like a death.
  ~RankWatch();
  RankWatch(const RankWatch&) = delete;
  RankWatch& operator=(const RankWatch&) = delete;

 private:
  struct Peer {
    int rank;
    int pid;
    int pidfd;  // -1: the kernel or its seccomp filter refuses, kill(pid, 0) tells
  };
  void run();
  const Peer* find_dead();
  [[noreturn]] void report(const Peer& dead);
  [[noreturn]] void obey_signal(int signal);
  void leave_if_aborted(int grace_ms);
  [[noreturn]] void leave(int code);

  Window& window_;
  int rank_;
  std::string host_;
  LastWords* last_words_;
  std::vector<Peer> peers_;
  int event_fd_ = -1;  // wakes the thread: a signal came, or stop
  std::atomic<bool> stop_ = false;
  std::thread thread_;
};

}  // namespace terrace
