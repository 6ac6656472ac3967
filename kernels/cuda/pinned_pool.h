// The host pool of pages: ordinary memory, registered with CUDA chunk by chunk, so that a pool of hundreds of GiB asks for no single huge registration. A page never crosses a chunk's end.
// Owned by CudaPageMover.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

class PinnedPool {
 public:
  /// Throws kOutOfMemory with the way out where the memory cannot be had or locked. `page_bytes`: a multiple of 4,096.
  PinnedPool(size_t page_bytes, uint32_t num_pages);
  ~PinnedPool();
  PinnedPool(const PinnedPool&) = delete;
  PinnedPool& operator=(const PinnedPool&) = delete;

  std::byte* page(uint32_t index) const { return data_ + index * page_bytes_; }

 private:
  void release();

  size_t page_bytes_;
  size_t bytes_;
  size_t chunk_bytes_;
  size_t registered_ = 0;  // bytes from the start
  std::byte* data_ = nullptr;
};

}  // namespace terrace
