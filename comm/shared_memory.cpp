#include "comm/shared_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const char* what, size_t bytes) {
  throw Error(ErrorCode::kOutOfMemory,
              fmt::format("cannot {} {} MiB of address space for the ranks' shared window: {}. Raise the limits (ulimit -v) or start "
                          "fewer ranks.",
                          what, bytes >> 20, std::strerror(errno)));
}

std::byte* map(size_t bytes, int flags, int fd) {
  void* data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, flags | MAP_NORESERVE, fd, 0);
  if (data == MAP_FAILED) fail("map", bytes);
  return static_cast<std::byte*>(data);
}

}  // namespace

SharedMemory SharedMemory::for_threads(size_t bytes) { return {map(bytes, MAP_PRIVATE | MAP_ANONYMOUS, -1), bytes, -1}; }

SharedMemory SharedMemory::for_processes(size_t bytes) {
  const int fd = ::memfd_create("terrace-window", MFD_CLOEXEC);
  if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes)) != 0) fail("create", bytes);
  return {map(bytes, MAP_SHARED, fd), bytes, fd};
}

SharedMemory SharedMemory::open(pid_t creator, int fd, size_t bytes) {
  const std::string path = fmt::format("/proc/{}/fd/{}", creator, fd);
  const int mine = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (mine < 0) {
    throw Error(ErrorCode::kInternal, fmt::format("cannot open the shared window of the host's first rank at {}: {}. Run all ranks of a host "
                                                  "as one user and in one container.",
                                                  path, std::strerror(errno)));
  }
  return {map(bytes, MAP_SHARED, mine), bytes, mine};
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(other.bytes_), fd_(std::exchange(other.fd_, -1)) {}

SharedMemory::~SharedMemory() {
  close_fd();
  if (data_ != nullptr) ::munmap(data_, bytes_);
}

void SharedMemory::close_fd() {
  if (fd_ >= 0) ::close(std::exchange(fd_, -1));
}

}  // namespace terrace
