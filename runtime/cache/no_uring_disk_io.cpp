// In the place of uring_disk_io.cpp where CMake finds no liburing.
#include "runtime/cache/disk_io.h"

namespace terrace {

std::unique_ptr<DiskIo> make_uring_disk_io(int, uint32_t) { return nullptr; }

}  // namespace terrace
