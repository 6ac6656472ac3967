#include "comm/window.h"

#include <fmt/format.h>
#include <sched.h>

#include <chrono>

namespace terrace {
namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t kPage = 4096;
// A sleeper looks up this often, so that a lost wake-up or a peer's death costs a moment and not for ever.
constexpr std::chrono::milliseconds kLookUp{50};

// After so long a spinning wait lets others have the core in between: another program may be what the awaited rank waits for.
constexpr std::chrono::microseconds kPolite{50};

constexpr size_t round_up(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

}  // namespace

size_t Window::bytes_needed(int size) {
  const size_t ranks = static_cast<size_t>(size);
  return round_up(sizeof(Head)) + round_up(ranks * sizeof(RankState)) + (1 + ranks) * kMessageBytes +
         ranks * kAreaFloats * sizeof(float);
}

Window::Window(std::byte* memory, int size, std::vector<int> host_ranks, bool spin)
    : size_(size), host_ranks_(std::move(host_ranks)), spin_(spin) {
  // Zeroes are the initial value of everything in here, so nobody constructs and nobody has to be first.
  head_ = reinterpret_cast<Head*>(memory);
  ranks_ = reinterpret_cast<RankState*>(memory + round_up(sizeof(Head)));
  messages_ = memory + round_up(sizeof(Head)) + round_up(static_cast<size_t>(size) * sizeof(RankState));
  floats_ = reinterpret_cast<float*>(messages_ + (1 + static_cast<size_t>(size)) * kMessageBytes);
}

bool Window::glance(const Signal& signal, uint32_t target) const {
  for (int i = 0; spin_ && i < 256; ++i) {
    if (signal.reached(target)) return true;
  }
  return false;
}

bool Window::spin_for(const Signal& signal, uint32_t target, Patience patience) const {
  if (!spin_) {  // somebody else needs this core to get there
    for (int i = 0; i < 4; ++i) {
      if (signal.reached(target)) return true;
      sched_yield();
    }
    return signal.reached(target);
  }
  const auto limit = patience == Patience::kSum ? std::chrono::microseconds(1000) : std::chrono::microseconds(100);
  const Clock::time_point start = Clock::now();
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (signal.reached(target)) return true;
      __builtin_ia32_pause();
    }
    const Clock::duration waited = Clock::now() - start;
    if (waited > limit) return false;
    if (waited > kPolite) sched_yield();
  }
}

void Window::wait(Signal& signal, uint32_t target, int owner, Patience patience) const {
  if (signal.reached(target)) return;  // before anything that looks at a clock, which takes as long as the sum of a row
  while (!spin_for(signal, target, patience)) {
    throw_if_aborted();
    if (state(owner).done.reached(1) && !signal.reached(target)) {
      throw Error(ErrorCode::kRankLost,
                  fmt::format("rank {} has finished while others wait for it: the ranks do not run the same steps. Please report this.", owner));
    }
    signal.sleep(target, kLookUp);
    if (signal.reached(target)) return;
  }
}

bool Window::claim_abort(int code) {
  uint32_t none = 0;
  if (!head_->abort.compare_exchange_strong(none, kAborted | static_cast<uint32_t>(code & 0xff))) return false;
  wake_all();
  return true;
}

std::optional<int> Window::aborted() const {
  const uint32_t abort = head_->abort.load(std::memory_order_acquire);
  if (abort == 0) return std::nullopt;
  return static_cast<int>(abort & 0xff);
}

void Window::throw_if_aborted() const {
  if (aborted()) throw Error(ErrorCode::kRankLost, "another rank ended the job");
}

void Window::set_done(int rank, int result) {
  state(rank).result.store(result);
  state(rank).done.advance_to(1);
  wake_all();
}

void Window::set_verdict(int code) {
  head_->verdict_code.store(code);
  head_->verdict.advance_to(1);
}

int Window::wait_for_verdict() const {
  while (!head_->verdict.reached(1)) {
    throw_if_aborted();
    head_->verdict.sleep(1, kLookUp);
  }
  return head_->verdict_code.load();
}

void Window::wake_all() const {
  head_->broadcast.written.wake();
  head_->verdict.wake();
  for (int rank = 0; rank < size_; ++rank) {
    RankState& rank_state = state(rank);
    rank_state.done.wake();
    rank_state.reduced.wake();
    rank_state.gather.written.wake();
    rank_state.gather_read.wake();
    rank_state.broadcast_read.wake();
  }
}

}  // namespace terrace
