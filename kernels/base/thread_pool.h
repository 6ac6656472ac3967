// Fork and join over a fixed team of threads, for the loops inside one backend op. Owned by a backend, used from its step thread
// only; that thread is member 0 of the team. Regions don't nest. It does not queue or pin; work that must give equal bits
// may not depend on which thread runs it.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <optional>
#include <thread>
#include <vector>

#include "kernels/base/function_ref.h"

namespace terrace {

class ThreadPool {
 public:
  /// `num_threads` counts the caller; with 1 no thread is started. `spin`: a waiting thread spins some tens of microseconds
  /// before it sleeps; without (more ranks than cores) it sleeps at once.
  explicit ThreadPool(int num_threads, bool spin = true);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int num_threads() const { return static_cast<int>(threads_.size()) + 1; }

  /// Calls body(thread_index) once on each thread and returns when all are done. If bodies throw, the first exception is
  /// rethrown here after all have ended.
  void run(FunctionRef<void(int)> body);

  /// Calls body(begin, end) over chunks of at most `grain` that cover [0, count). Each thread has a share of neighbouring chunks, the same in
  /// every call of that count and grain, so that it finds in its caches what it wrote before; one that is done takes from the others' shares.
  /// A thread whose body throws takes no further chunk.
  void parallel_for(int64_t count, int64_t grain, FunctionRef<void(int64_t, int64_t)> body);

 private:
  void work(int thread_index);
  void call(int thread_index);

  struct alignas(64) Share {
    std::atomic<int64_t> next = 0;  // chunk
  };

  const bool spin_;
  std::vector<Share> shares_;  // of parallel_for(), by thread
  std::vector<std::thread> threads_;
  std::optional<FunctionRef<void(int)>> body_;  // of the region under way; written before round_ moves
  std::exception_ptr error_;                    // written by the thread that sets failed_
  std::atomic<bool> failed_ = false;
  bool stopping_ = false;                              // written before round_ moves
  alignas(64) std::atomic<uint32_t> round_ = 0;        // a region begins when it moves
  alignas(64) std::atomic<uint32_t> num_working_ = 0;  // threads other than the caller still in the region
};

}  // namespace terrace
