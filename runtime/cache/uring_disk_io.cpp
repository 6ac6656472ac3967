// The disk's requests by io_uring: a system call submits, completions lie in a ring. Asked for at run time, since containers often forbid it.
#include <liburing.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "runtime/cache/disk_io.h"

namespace terrace {
namespace {

class UringDiskIo : public DiskIo {
 public:
  UringDiskIo(int fd, uint32_t num_slots) : fd_(fd) { is_ready_ = io_uring_queue_init(num_slots, &ring_, 0) == 0; }
  ~UringDiskIo() override {
    if (!is_ready_) return;
    while (num_under_way_ > 0 && take(nullptr)) {
    }
    io_uring_queue_exit(&ring_);
  }
  bool is_ready() const { return is_ready_; }

  void submit(const DiskRequest& request) override {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) return failed_.push_back({request.slot, -EBUSY});
    const auto bytes = static_cast<unsigned>(request.bytes);
    if (request.write) {
      io_uring_prep_write(entry, fd_, request.data, bytes, request.offset);
    } else {
      io_uring_prep_read(entry, fd_, request.data, bytes, request.offset);
    }
    io_uring_sqe_set_data64(entry, request.slot);
    // An entry that the kernel does not take now stays in the queue and goes with the next call.
    io_uring_submit(&ring_);
    ++num_under_way_;
  }

  std::vector<DiskCompletion> wait(int64_t timeout_us) override {
    std::vector<DiskCompletion> completions = std::exchange(failed_, {});
    io_uring_submit(&ring_);
    if (completions.empty()) {
      __kernel_timespec timeout = {timeout_us / 1'000'000, timeout_us % 1'000'000 * 1000};
      completions_from(&timeout, completions);
    }
    __kernel_timespec none = {0, 0};
    while (num_under_way_ > 0 && io_uring_cq_ready(&ring_) > 0) completions_from(&none, completions);
    return completions;
  }

 private:
  void completions_from(__kernel_timespec* timeout, std::vector<DiskCompletion>& completions) {
    if (const std::optional<DiskCompletion> one = take(timeout)) completions.push_back(*one);
  }
  /// `timeout`: null waits for ever.
  std::optional<DiskCompletion> take(__kernel_timespec* timeout) {
    io_uring_cqe* entry = nullptr;
    int status;
    do {
      status = timeout != nullptr ? io_uring_wait_cqe_timeout(&ring_, &entry, timeout) : io_uring_wait_cqe(&ring_, &entry);
    } while (status == -EINTR);
    if (status != 0) return std::nullopt;
    const DiskCompletion completion = {static_cast<uint32_t>(io_uring_cqe_get_data64(entry)), entry->res};
    io_uring_cqe_seen(&ring_, entry);
    --num_under_way_;
    return completion;
  }

  int fd_;
  io_uring ring_ = {};
  bool is_ready_;
  size_t num_under_way_ = 0;
  std::vector<DiskCompletion> failed_;
};

}  // namespace

std::unique_ptr<DiskIo> make_uring_disk_io(int fd, uint32_t num_slots) {
  auto io = std::make_unique<UringDiskIo>(fd, num_slots);
  if (!io->is_ready()) return nullptr;
  return io;
}

}  // namespace terrace
