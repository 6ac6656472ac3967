// One GPU as this rank sees it: its properties, the stream that all ops of a step run on, device memory, and the way of the host's
// arrays to the device. Step thread only. Launches nothing.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "kernels/base/tensor.h"

namespace terrace {

class PinnedRing;

class CudaDevice {
 public:
  /// The device of local rank `index` (modulo the devices that there are). Throws kInvalidValue without a driver or device, saying so.
  explicit CudaDevice(int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  cudaStream_t stream() const { return stream_.get(); }
  int num_multiprocessors() const { return properties_.multiProcessorCount; }
  const cudaDeviceProp& properties() const { return properties_; }
  /// Bytes that allocate() can still give.
  size_t free_memory() const;
  /// Calls of allocate() so far: while it stands still, no address has been given anew.
  uint64_t num_allocations() const { return num_allocations_; }

  /// Makes this device the calling thread's: CUDA's choice is per thread, and a step may run in another than the constructor's.
  void make_current() const;
  /// Zero-filled device memory, freed by the Buffer (which waits for the device). Aligned to 256 bytes.
  Buffer allocate(size_t bytes);
  /// Host to device in stream order, through pinned memory: `src` may change as soon as the call returns.
  void write(void* dst, std::span<const std::byte> src);
  /// Device to host; waits for the stream.
  void read(const void* src, std::span<std::byte> dst);
  /// `rows` rows of row_bytes, src_pitch bytes apart, to `dst`, dense. Waits for the stream.
  void read_rows(const void* src, size_t src_pitch, size_t row_bytes, size_t rows, std::byte* dst);
  void synchronize();

 private:
  struct DestroyStream {
    void operator()(cudaStream_t stream) const;
  };

  int index_ = 0;
  cudaDeviceProp properties_ = {};
  uint64_t num_allocations_ = 0;
  std::unique_ptr<CUstream_st, DestroyStream> stream_;
  std::unique_ptr<PinnedRing> staging_;
};

}  // namespace terrace
