// A disk that fails as it is told, over the file's own descriptor and without threads: for tests of the disk tier.
#pragma once

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <utility>
#include <vector>

#include "runtime/cache/disk_io.h"

namespace terrace::testing {

enum class DiskFault { kNone, kNoSpace, kReadError, kShort, kTornWrite, kFlippedBit, kMisplaced, kDropped, kLate, kTwice };  // kLate: answered once the fault is over

class FaultyDiskIo : public DiskIo {
 public:
  /// `fault`: of every request from now on.
  FaultyDiskIo(int fd, const std::atomic<DiskFault>& fault) : fd_(fd), fault_(fault) {}

  void submit(const DiskRequest& request) override {
    const auto bytes = static_cast<int64_t>(request.bytes);
    auto offset = static_cast<off_t>(request.offset);
    int64_t result = bytes;
    switch (fault_) {
      case DiskFault::kNoSpace: result = -ENOSPC; break;
      case DiskFault::kReadError: result = -EIO; break;
      case DiskFault::kShort: result = bytes / 2; break;
      case DiskFault::kDropped: return;
      case DiskFault::kLate: late_.push_back({request.slot, bytes}); return;
      case DiskFault::kTornWrite: {  // says that all is well
        if (request.write && pwrite(fd_, request.data, request.bytes / 2, offset) < 0) result = -errno;
        break;
      }
      case DiskFault::kMisplaced: offset += bytes; [[fallthrough]];
      default: {
        const ssize_t moved = request.write ? pwrite(fd_, request.data, request.bytes, offset) : pread(fd_, request.data, request.bytes, offset);
        result = moved < 0 ? -errno : moved;
      }
    }
    if (fault_ == DiskFault::kFlippedBit && !request.write) request.data[request.bytes / 3] ^= std::byte{4};
    completions_.push_back({request.slot, result});
    if (fault_ == DiskFault::kTwice) completions_.push_back({request.slot, result});
  }
  std::vector<DiskCompletion> wait(int64_t) override {
    if (fault_ != DiskFault::kLate) completions_.insert(completions_.end(), late_.begin(), late_.end()), late_.clear();
    return std::exchange(completions_, {});
  }

 private:
  int fd_;
  const std::atomic<DiskFault>& fault_;
  std::vector<DiskCompletion> completions_, late_;
};

}  // namespace terrace::testing
