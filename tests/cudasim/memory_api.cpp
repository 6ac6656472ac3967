// cudaMalloc and its kin.
#include "tests/cudasim/api.h"
#include "tests/cudasim/peer_memory.h"

using namespace cudasim;

extern "C" {

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  return api_call("cudaMalloc", cudaErrorMemoryAllocation, [&](Device& device) {
    if (const cudaError_t error = forbid_while_capturing(device); error != cudaSuccess) return error;
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    *memory = device.heap.allocate(bytes);
    if (*memory == nullptr) return cudaErrorMemoryAllocation;
    if (checker() != nullptr) checker()->on_host_range(device, *memory, bytes, RangeEvent::kAllocated);
    return cudaSuccess;
  });
}

cudaError_t cudaFree(void* memory) {
  const AllocationInfo info = find_allocation(memory, 1);
  Device& device = info.kind == MemoryKind::kDevice && info.begin == memory ? device_at(info.device) : current_device();
  return release_call("cudaFree", device, [&](Device& owner) {
    if (memory == nullptr) return cudaSuccess;
    if (const cudaError_t error = forbid_while_capturing(owner); error != cudaSuccess) return error;
    owner.run_all();  // cudaFree waits for the device
    if (info.kind != MemoryKind::kDevice || info.begin != memory || info.imported) {
      report("cudaFree of what is no live allocation: " + describe_address(memory));
      return cudaErrorInvalidValue;
    }
    if (checker() != nullptr) checker()->on_host_range(owner, memory, info.bytes, RangeEvent::kFreed);
    PeerMemory::get().remove(memory);
    owner.heap.release(memory);
    return cudaSuccess;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return api_call("cudaMemGetInfo", cudaErrorInvalidDevice, [&](Device& device) {
    *free = device.heap.free_bytes();
    *total = device.heap.capacity_bytes();
    return cudaSuccess;
  });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return api_call("cudaPointerGetAttributes", cudaErrorInvalidValue, [&](Device& device) {
    const AllocationInfo info = find_allocation(pointer, 1);
    *attributes = {};
    attributes->device = info.device >= 0 ? info.device : device.index;
    attributes->type = info.kind == MemoryKind::kDevice ? cudaMemoryTypeDevice : info.kind == MemoryKind::kPinned ? cudaMemoryTypeHost : cudaMemoryTypeUnregistered;
    if (info.kind == MemoryKind::kDevice || info.kind == MemoryKind::kPinned) attributes->devicePointer = const_cast<void*>(pointer);
    if (info.kind != MemoryKind::kDevice) attributes->hostPointer = const_cast<void*>(pointer);
    return cudaSuccess;
  });
}

}  // extern "C"
