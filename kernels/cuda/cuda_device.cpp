#include "kernels/cuda/cuda_device.h"

#include <fmt/format.h>

#include "kernels/base/error.h"
#include "kernels/cuda/check.h"
#include "kernels/cuda/pinned_ring.h"

namespace terrace {

namespace {

/// Whatever the driver says (none, too old, not in step with its library, still starting): `backend: auto` then goes on with the CPU.
[[noreturn]] void no_device(cudaError_t status) {
  throw Error(ErrorCode::kInvalidValue, fmt::format("looking for a CUDA device failed: {} ({}, CUDA error {}): install NVIDIA's driver for CUDA 13, or say backend: cpu",
                                                    cudaGetErrorString(status), cudaGetErrorName(status), static_cast<int>(status)));
}

}  // namespace

void CudaDevice::DestroyStream::operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }

CudaDevice::CudaDevice(int index) {
  int count = 0;
  const cudaError_t found = cudaGetDeviceCount(&count);
  if (found != cudaSuccess || count == 0) no_device(found == cudaSuccess ? cudaErrorNoDevice : found);
  index_ = index % count;
  make_current();
  check_cuda(cudaGetDeviceProperties(&properties_, index_), "asking for the device's properties");
  if (properties_.major < 8) {
    throw Error(ErrorCode::kInvalidValue, fmt::format("device {} ({}) has compute capability {}.{}, but the kernels need 8.0 or later: use another device, or say backend: cpu",
                                                      index_, properties_.name, properties_.major, properties_.minor));
  }
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "making a stream");
  stream_.reset(stream);
  staging_ = std::make_unique<PinnedRing>(stream);
}

CudaDevice::~CudaDevice() = default;

size_t CudaDevice::free_memory() const {
  make_current();
  size_t free = 0;
  size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "asking for the device's free memory");
  return free;
}

void CudaDevice::make_current() const { check_cuda(cudaSetDevice(index_), "choosing the device"); }

Buffer CudaDevice::allocate(size_t bytes) {
  if (bytes == 0) return {};
  make_current();
  ++num_allocations_;
  void* data = nullptr;
  const cudaError_t status = cudaMalloc(&data, bytes);
  if (status != cudaSuccess) {
    cudaGetLastError();  // running out of memory is no lasting failure
    check_cuda(status, fmt::format("allocating {} MiB of device memory", bytes >> 20).c_str());
  }
  Buffer buffer(static_cast<std::byte*>(data), bytes, [](std::byte* begin, size_t) { cudaFree(begin); });
  check_cuda(cudaMemsetAsync(data, 0, bytes, stream()), "clearing device memory");
  return buffer;
}

void CudaDevice::write(void* dst, std::span<const std::byte> src) {
  make_current();
  staging_->write(dst, src);
}

void CudaDevice::read(const void* src, std::span<std::byte> dst) { read_rows(src, dst.size(), dst.size(), 1, dst.data()); }

void CudaDevice::read_rows(const void* src, size_t src_pitch, size_t row_bytes, size_t rows, std::byte* dst) {
  make_current();
  staging_->read(src, src_pitch, row_bytes, rows, dst);
}

void CudaDevice::synchronize() {
  make_current();
  check_cuda(cudaStreamSynchronize(stream()), "waiting for the device");
}

}  // namespace terrace
