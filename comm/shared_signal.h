// A counter in shared memory that one rank advances and others wait for: threads of one process or processes of one host.
// Owns nothing but its two words; whoever waits also watches for the end of the job (comm/window.h).
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

namespace terrace {

/// Zero-filled memory is a valid Signal with value 0. On its own cache line, so that spinning on one does not slow another.
class alignas(64) Signal {
 public:
  /// Everything written before advance_to(v) is visible to whoever saw reached(v). One rank only advances a signal.
  void advance_to(uint32_t value) {
    publish(value);
    wake_sleepers();
  }
  /// The two halves of advance_to(), for who has something better to do than to wait until others' copies of this line are gone (which
  /// wake_sleepers() does): look at their signals, say. Sleepers are not woken before wake_sleepers().
  void publish(uint32_t value) { value_.store(value, std::memory_order_release); }
  void wake_sleepers() {
    std::atomic_thread_fence(std::memory_order_seq_cst);  // an addition of 0 would take the line, which others are reading, once more: 80 ns of 300
    if (sleepers_.load(std::memory_order_relaxed) != 0) wake();
  }
  /// Counters wrap: "reached" means at most 2^31 ahead.
  bool reached(uint32_t target) const {
    return static_cast<int32_t>(value_.load(std::memory_order_acquire) - target) >= 0;
  }
  /// Sleeps until the signal is woken, has reached `target`, or the time is over; may return early.
  void sleep(uint32_t target, std::chrono::milliseconds longest);
  /// Wakes every sleeper without advancing, so that it looks at the state of the job.
  void wake();

 private:
  std::atomic<uint32_t> value_ = 0;
  std::atomic<uint32_t> sleepers_ = 0;  // a sleeper that was killed stays counted: that costs a system call per advance, no more
};
static_assert(std::atomic<uint32_t>::is_always_lock_free);

}  // namespace terrace
