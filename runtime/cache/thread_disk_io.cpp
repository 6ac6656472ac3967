// The disk's requests by plain pread and pwrite on a few threads.
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include "runtime/cache/disk_io.h"

namespace terrace {
namespace {

class ThreadDiskIo : public DiskIo {
 public:
  ThreadDiskIo(int fd, uint32_t num_threads) : fd_(fd) {
    for (uint32_t i = 0; i < num_threads; ++i) threads_.emplace_back([this] { run(); });
  }
  ~ThreadDiskIo() override {
    {
      const std::lock_guard lock(mutex_);
      stop_ = true;
    }
    submitted_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void submit(const DiskRequest& request) override {
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    submitted_.notify_one();
  }
  std::vector<DiskCompletion> wait(int64_t timeout_us) override {
    std::unique_lock lock(mutex_);
    completed_.wait_for(lock, std::chrono::microseconds(timeout_us), [&] { return !completions_.empty(); });
    return std::exchange(completions_, {});
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      submitted_.wait(lock, [&] { return stop_ || !requests_.empty(); });
      if (requests_.empty()) return;
      const DiskRequest request = requests_.front();
      requests_.pop_front();
      lock.unlock();
      const int64_t result = carry_out(request);
      lock.lock();
      completions_.push_back({request.slot, result});
      completed_.notify_one();
    }
  }
  int64_t carry_out(const DiskRequest& request) const {
    ssize_t result;
    do {
      const auto offset = static_cast<off_t>(request.offset);
      result = request.write ? pwrite(fd_, request.data, request.bytes, offset) : pread(fd_, request.data, request.bytes, offset);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : result;
  }

  int fd_;
  std::mutex mutex_;
  std::condition_variable submitted_, completed_;
  std::deque<DiskRequest> requests_;
  std::vector<DiskCompletion> completions_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

std::unique_ptr<DiskIo> make_thread_disk_io(int fd, uint32_t num_threads) { return std::make_unique<ThreadDiskIo>(fd, num_threads); }

}  // namespace terrace
