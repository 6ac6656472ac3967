// Kernel launches and what can be asked about kernels.
#include <algorithm>
#include <cstring>

#include "tests/cudasim/api.h"
#include "tests/cudasim/device_limits.h"
#include "tests/cudasim/kernel_image.h"
#include "tests/cudasim/scheduler.h"

using namespace cudasim;

namespace {

const KernelImage& image_of(const char* function, const void* kernel) {
  const KernelImage* image = find_image(kernel);
  if (image == nullptr) unsupported(fmt::format("{} of a kernel that nobody described: launch through kernels/cuda/launch.cuh", function));
  return *image;
}

size_t static_shared_bytes(const KernelImage& image) { return image.ptx != nullptr ? image.ptx->static_shared_bytes : 0; }

cudaError_t check_shape(Device& device, const KernelImage& image, dim3 grid, dim3 block, size_t shared_bytes) {
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxLanes || block.z > 64) return cudaErrorInvalidConfiguration;
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535) return cudaErrorInvalidConfiguration;
  const auto allowed = device.allowed_shared_bytes.find(image.function);
  const size_t limit = allowed != device.allowed_shared_bytes.end() ? static_cast<size_t>(allowed->second) : kSharedBytes - static_shared_bytes(image);
  return shared_bytes > limit ? cudaErrorInvalidValue : cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** args, size_t shared_bytes, cudaStream_t handle) {
  return stream_call("cudaLaunchKernel", cudaErrorLaunchOutOfResources, handle, [&](Device& device, Stream&) {
    const KernelImage& image = image_of("cudaLaunchKernel", function);
    if (const cudaError_t error = check_shape(device, image, grid, block, shared_bytes); error != cudaSuccess) return error;
    auto kernel = std::make_shared<Kernel>();
    kernel->image = &image;
    kernel->grid = grid, kernel->block = block;
    kernel->dynamic_shared_bytes = shared_bytes;
    kernel->params.resize(image.param_bytes);
    for (size_t i = 0; i < image.offsets.size(); ++i) std::memcpy(kernel->params.data() + image.offsets[i], args[i], image.description.sizes[i]);
    Operation launch;
    launch.name = image.name;
    launch.kind = OperationKind::kKernel;
    launch.kernel = function;
    launch.waits_for_peers = device.has_peers();
    launch.run = [&device, kernel] { Scheduler::of_this_thread().run(device, *kernel, device.statistics_of(kernel->image->name)); };
    return enqueue(handle, std::move(launch));
  });
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  return api_call("cudaFuncSetAttribute", cudaErrorInvalidDeviceFunction, [&](Device& device) {
    const KernelImage& image = image_of("cudaFuncSetAttribute", function);
    if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) unsupported("cudaFuncSetAttribute of another attribute than shared memory");
    if (value < 0 || static_cast<size_t>(value) + static_shared_bytes(image) > shared_bytes_opt_in(settings().compute_capability)) return cudaErrorInvalidValue;
    device.allowed_shared_bytes[function] = value;
    return cudaSuccess;
  });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return api_call("cudaFuncGetAttributes", cudaErrorInvalidDeviceFunction, [&](Device& device) {
    const KernelImage& image = image_of("cudaFuncGetAttributes", function);
    *attributes = {};
    attributes->sharedSizeBytes = static_shared_bytes(image);
    attributes->maxThreadsPerBlock = kMaxLanes;
    attributes->numRegs = kAssumedRegisters;
    attributes->ptxVersion = attributes->binaryVersion = settings().compute_capability;
    const auto allowed = device.allowed_shared_bytes.find(function);
    attributes->maxDynamicSharedSizeBytes = allowed != device.allowed_shared_bytes.end() ? allowed->second : static_cast<int>(kSharedBytes);
    return cudaSuccess;
  });
}

// From threads, shared memory and an assumed register count: a device's answer may be lower.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* num_blocks, const void* function, int threads, size_t shared_bytes) {
  return api_call("cudaOccupancyMaxActiveBlocksPerMultiprocessor", cudaErrorInvalidDeviceFunction, [&](Device& device) {
    const KernelImage& image = image_of("cudaOccupancyMaxActiveBlocksPerMultiprocessor", function);
    *num_blocks = 0;
    if (threads <= 0 || threads > kMaxLanes) return cudaErrorInvalidValue;
    if (check_shape(device, image, dim3(1), dim3(static_cast<unsigned>(threads)), shared_bytes) != cudaSuccess) return cudaSuccess;
    const int warps = (threads + kWarpLanes - 1) / kWarpLanes;
    const size_t shared = static_shared_bytes(image) + shared_bytes + kSharedBytesReserved;
    const int by_registers = kRegisters / (warps * kWarpLanes * kAssumedRegisters);
    *num_blocks = std::min({kMaxThreadsPerMultiprocessor / (warps * kWarpLanes), static_cast<int>(shared_bytes_per_multiprocessor(settings().compute_capability) / shared), by_registers, kMaxBlocksPerMultiprocessor});
    return cudaSuccess;
  });
}

}  // extern "C"
