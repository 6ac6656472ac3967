#include "runtime/cache/disk_io.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {

std::unique_ptr<DiskIo> make_disk_io(std::string_view kind, int fd, uint32_t num_slots) {
  constexpr uint32_t kMostThreads = 4;
  if (kind != "auto" && kind != "io_uring" && kind != "threads") {
    throw Error(ErrorCode::kInvalidValue, fmt::format("cache.disk.io is \"{}\": it can be auto, io_uring or threads", kind));
  }
  if (kind != "threads") {
    if (std::unique_ptr<DiskIo> uring = make_uring_disk_io(fd, num_slots)) return uring;
  }
  if (kind == "io_uring") {
    throw Error(ErrorCode::kInvalidValue, "cache.disk.io is io_uring, which this machine or container does not allow: use auto or threads");
  }
  return make_thread_disk_io(fd, std::min(num_slots, kMostThreads));
}

}  // namespace terrace
