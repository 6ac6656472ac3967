// One mapping of zero-filled memory shared by the ranks of a host. It has no name in any file system: nothing is left behind by kill -9.
// Sparse: only touched pages cost memory, so sizes may be generous.
#pragma once

#include <sys/types.h>

#include <cstddef>

namespace terrace {

class SharedMemory {
 public:
  /// For ranks that are threads of this process.
  static SharedMemory for_threads(size_t bytes);
  /// For ranks that are processes of this host; the others open() it by this process's pid and fd().
  static SharedMemory for_processes(size_t bytes);
  static SharedMemory open(pid_t creator, int fd, size_t bytes);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  std::byte* data() const { return data_; }
  size_t bytes() const { return bytes_; }
  int fd() const { return fd_; }
  /// Once everybody has it open: the mapping stays.
  void close_fd();

 private:
  SharedMemory(std::byte* data, size_t bytes, int fd) : data_(data), bytes_(bytes), fd_(fd) {}
  std::byte* data_ = nullptr;
  size_t bytes_ = 0;
  int fd_ = -1;
};

}  // namespace terrace
