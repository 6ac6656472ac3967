#include "kernels/base/thread_pool.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {
namespace {

// A pause takes 10 to 45 ns, so this is 20 to 70 us: longer than the gaps between the ops of a decode step, shorter than what a
// futex wake costs twice over.
constexpr int kSpinPauses = 1500;

/// Returns once value != old.
void wait_while_equal(const std::atomic<uint32_t>& value, uint32_t old, bool spin) {
  for (int i = 0; spin && i < kSpinPauses; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    __builtin_ia32_pause();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

ThreadPool::ThreadPool(int num_threads, bool spin) : spin_(spin), shares_(static_cast<size_t>(std::max(num_threads, 1))) {
  if (num_threads < 1) throw Error(ErrorCode::kInternal, "a thread pool needs at least one thread");
  threads_.reserve(static_cast<size_t>(num_threads - 1));
  for (int i = 1; i < num_threads; ++i) threads_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  stopping_ = true;
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void ThreadPool::work(int thread_index) {
  for (uint32_t round = 0;; ++round) {  // rounds advance by one: a region ends only when every thread has seen it
    wait_while_equal(round_, round, spin_);
    if (stopping_) return;
    call(thread_index);
    if (num_working_.fetch_sub(1, std::memory_order_acq_rel) == 1) num_working_.notify_one();
  }
}

void ThreadPool::call(int thread_index) {
  try {
    (*body_)(thread_index);
  } catch (...) {
    if (!failed_.exchange(true, std::memory_order_relaxed)) error_ = std::current_exception();
  }
}

void ThreadPool::run(FunctionRef<void(int)> body) {
  if (threads_.empty()) {
    body(0);
    return;
  }
  body_ = body;
  num_working_.store(static_cast<uint32_t>(threads_.size()), std::memory_order_relaxed);
  round_.fetch_add(1, std::memory_order_release);
  round_.notify_all();
  call(0);
  for (uint32_t left; (left = num_working_.load(std::memory_order_acquire)) != 0;) wait_while_equal(num_working_, left, spin_);
  body_.reset();
  if (failed_.exchange(false, std::memory_order_relaxed)) std::rethrow_exception(std::exchange(error_, nullptr));
}

void ThreadPool::parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  grain = std::max<int64_t>(grain, 1);
  if (count <= 0) return;
  if (threads_.empty() || count <= grain) {
    for (int64_t begin = 0; begin < count; begin += grain) body(begin, std::min(begin + grain, count));
    return;
  }
  const int64_t num_chunks = (count + grain - 1) / grain;
  const auto num_shares = static_cast<int64_t>(shares_.size());
  for (int64_t i = 0; i < num_shares; ++i) shares_[static_cast<size_t>(i)].next.store(i * num_chunks / num_shares, std::memory_order_relaxed);
  run([&](int thread_index) {
    for (int64_t turn = 0; turn < num_shares; ++turn) {  // its own share, then what is left of the others'
      const int64_t owner = (thread_index + turn) % num_shares;
      const int64_t end = (owner + 1) * num_chunks / num_shares;
      std::atomic<int64_t>& next = shares_[static_cast<size_t>(owner)].next;
      for (int64_t chunk; (chunk = next.fetch_add(1, std::memory_order_relaxed)) < end;) {
        body(chunk * grain, std::min((chunk + 1) * grain, count));
      }
    }
  });
}

}  // namespace terrace
