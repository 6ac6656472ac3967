// Pinned host memory: memory of its own pages (cudaHostAlloc), or the caller's (cudaHostRegister).
#include <sys/mman.h>

#include <cstring>

#include "tests/cudasim/api.h"
#include "tests/cudasim/pinned_guard.h"

using namespace cudasim;

namespace {

constexpr size_t kPage = 4096;

size_t pages(size_t bytes) { return (bytes + kPage - 1) / kPage * kPage; }

// number 1: of its own pages, which PinnedGuard may close; 0: registered, which a device may have at other addresses (Settings::host_pointers).
AllocationInfo pinned_info(const void* memory, size_t bytes, uint64_t number) {
  AllocationInfo info;
  info.kind = MemoryKind::kPinned;
  info.begin = static_cast<const unsigned char*>(memory);
  info.bytes = bytes, info.number = number;
  return info;
}

cudaError_t release_host(const char* function, void* memory, bool own_pages) {
  return release_call(function, current_device(), [&](Device& device) {
    if (memory == nullptr) return cudaSuccess;
    device.run_all();  // not the others': each is a rank's of its own, which may hold its lock and wait for this one
    const AllocationInfo info = find_allocation(memory, 1);
    if (info.kind != MemoryKind::kPinned || info.begin != memory || (info.number != 0) != own_pages) {
      report(fmt::format("{} of what it did not give: {}", function, describe_address(memory)));
      return cudaErrorInvalidValue;
    }
    PinnedGuard::get().forget(memory, info.bytes);
    MemoryMap::get().remove(memory);
    if (own_pages) munmap(memory, pages(info.bytes));
    return cudaSuccess;
  });
}

}  // namespace

extern "C" {

cudaError_t cudaHostAlloc(void** memory, size_t bytes, unsigned) {
  return api_call("cudaHostAlloc", cudaErrorMemoryAllocation, [&](Device&) {
    *memory = nullptr;
    if (bytes == 0) return cudaSuccess;
    void* mapped = mmap(nullptr, pages(bytes), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) return cudaErrorMemoryAllocation;
    std::memset(mapped, 0xff, pages(bytes));
    MemoryMap::get().add(pinned_info(mapped, bytes, 1));
    *memory = mapped;
    return cudaSuccess;
  });
}

cudaError_t cudaMallocHost(void** memory, size_t bytes) { return cudaHostAlloc(memory, bytes, cudaHostAllocDefault); }

cudaError_t cudaFreeHost(void* memory) { return release_host("cudaFreeHost", memory, true); }

cudaError_t cudaHostRegister(void* memory, size_t bytes, unsigned) {
  return api_call("cudaHostRegister", cudaErrorMemoryAllocation, [&](Device&) {
    if (memory == nullptr || bytes == 0) return cudaErrorInvalidValue;
    for (const void* end : {static_cast<const void*>(memory), static_cast<const void*>(static_cast<char*>(memory) + bytes - 1)}) {
      if (find_allocation(end, 1).kind == MemoryKind::kPinned) return cudaErrorHostMemoryAlreadyRegistered;
    }
    MemoryMap::get().add(pinned_info(memory, bytes, 0));
    return cudaSuccess;
  });
}

cudaError_t cudaHostUnregister(void* memory) { return release_host("cudaHostUnregister", memory, false); }

cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* memory, unsigned) {
  return api_call("cudaHostGetDevicePointer", cudaErrorInvalidValue, [&](Device&) {
    if (find_allocation(memory, 1).kind != MemoryKind::kPinned) return cudaErrorInvalidValue;
    if (!settings().host_pointers) unsupported("cudaHostGetDevicePointer where addresses differ");
    *device_pointer = memory;  // unified addresses
    return cudaSuccess;
  });
}

}  // extern "C"
