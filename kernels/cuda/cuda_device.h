// One GPU as this rank sees it: its properties, the stream that all ops of a step run on, device memory, and the way of the host's arrays to the device. Step thread only.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>
#include <string>

#include "kernels/base/tensor.h"

namespace terrace {

class CudaDevice {
 public:
  /// The device of local rank `index` (modulo the devices that there are). Throws kInvalidValue without a driver or device, saying so.
  explicit CudaDevice(int index);
  ~CudaDevice();
  CudaDevice(const CudaDevice&) = delete;
  CudaDevice& operator=(const CudaDevice&) = delete;

  cudaStream_t stream() const { return stream_; }
  int num_multiprocessors() const { return properties_.multiProcessorCount; }
  const cudaDeviceProp& properties() const { return properties_; }

  /// Zero-filled device memory, freed by the Buffer.
  Buffer allocate(size_t bytes);
  /// Host to device in stream order, through pinned memory: `src` may change as soon as the call returns.
  void write(void* dst, std::span<const std::byte> src);
  /// Device to host; waits for the stream.
  void read(const void* src, std::span<std::byte> dst);
  void synchronize();

 private:
  int index_ = 0;
  cudaDeviceProp properties_ = {};
  cudaStream_t stream_ = nullptr;
  struct Staging;  // pinned ring with an event per slot
  Staging* staging_ = nullptr;
};

}  // namespace terrace
