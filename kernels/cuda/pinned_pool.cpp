#include "kernels/cuda/pinned_pool.h"

#include <cuda_runtime_api.h>
#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cuda/check.h"

namespace terrace {
namespace {

constexpr size_t kChunkBytes = size_t{256} << 20;  // about

}  // namespace

PinnedPool::PinnedPool(size_t page_bytes, uint32_t num_pages)
    : page_bytes_(page_bytes), bytes_(page_bytes * num_pages), chunk_bytes_(std::max<size_t>(1, kChunkBytes / page_bytes) * page_bytes) {
  if (bytes_ == 0) return;
  void* data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (data == MAP_FAILED) throw Error(ErrorCode::kOutOfMemory, fmt::format("cannot allocate {} MiB of host memory for KV pages: make cache.host smaller", bytes_ >> 20));
  data_ = static_cast<std::byte*>(data);
  madvise(data_, bytes_, MADV_HUGEPAGE);  // best effort
  try {
    while (registered_ < bytes_) {
      const size_t count = std::min(chunk_bytes_, bytes_ - registered_);
      const cudaError_t status = cudaHostRegister(data_ + registered_, count, cudaHostRegisterDefault);
      if (status != cudaSuccess) check_cuda(status, fmt::format("locking {} MiB of host memory after {} MiB (make cache.host smaller, or raise ulimit -l)", count >> 20, registered_ >> 20).c_str());
      registered_ += count;
    }
  } catch (...) {
    release();
    throw;
  }
}

PinnedPool::~PinnedPool() { release(); }

void PinnedPool::release() {
  if (data_ == nullptr) return;
  for (size_t begin = 0; begin < registered_; begin += chunk_bytes_) cudaHostUnregister(data_ + begin);
  munmap(data_, bytes_);
  data_ = nullptr;
}

}  // namespace terrace
