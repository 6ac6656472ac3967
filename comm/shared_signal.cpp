#include "comm/shared_signal.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <climits>
#include <ctime>

namespace terrace {

void Signal::sleep(uint32_t target, std::chrono::milliseconds longest) {
  // sleepers_ first, then value_; advance_to() does it the other way round, with a fence between: so one side sees the other.
  sleepers_.fetch_add(1, std::memory_order_seq_cst);
  const uint32_t seen = value_.load(std::memory_order_seq_cst);
  if (static_cast<int32_t>(seen - target) < 0) {
    timespec timeout{};
    timeout.tv_sec = longest.count() / 1000;
    timeout.tv_nsec = longest.count() % 1000 * 1'000'000;
    syscall(SYS_futex, &value_, FUTEX_WAIT, seen, &timeout, nullptr, 0);
  }
  sleepers_.fetch_sub(1, std::memory_order_relaxed);
}

void Signal::wake() { syscall(SYS_futex, &value_, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

}  // namespace terrace
