// Reads and writes of whole pages beside the caller: io_uring where the kernel lets us, else a few threads. Used by one thread, the disk tier's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace terrace {

struct DiskRequest {
  uint32_t slot = 0;  // of the caller; one request a slot at a time
  bool write = false;
  std::byte* data = nullptr;  // aligned to 4,096
  size_t bytes = 0;
  uint64_t offset = 0;
};

struct DiskCompletion {
  uint32_t slot = 0;
  int64_t result = 0;  // bytes moved, or -errno
};

class DiskIo {
 public:
  virtual ~DiskIo() = default;  // waits for what is under way
  /// A failure is a completion, never an exception.
  virtual void submit(const DiskRequest& request) = 0;
  /// Blocks until something has completed, but no longer than `timeout_us`.
  virtual std::vector<DiskCompletion> wait(int64_t timeout_us) = 0;
};

/// nullptr where this build or this machine (a container's seccomp filter, say) has no io_uring.
std::unique_ptr<DiskIo> make_uring_disk_io(int fd, uint32_t num_slots);
std::unique_ptr<DiskIo> make_thread_disk_io(int fd, uint32_t num_threads);
/// `kind`: auto, io_uring or threads. kInvalidValue for another, or for an io_uring that cannot be had.
std::unique_ptr<DiskIo> make_disk_io(std::string_view kind, int fd, uint32_t num_slots);

}  // namespace terrace
