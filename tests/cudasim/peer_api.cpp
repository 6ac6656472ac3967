// Memory of other devices: of this process's (cudaDeviceEnablePeerAccess) and of other processes' (cudaIpc*).
#include "tests/cudasim/api.h"
#include "tests/cudasim/peer_memory.h"

using namespace cudasim;

extern "C" {

cudaError_t cudaDeviceCanAccessPeer(int* can, int device, int peer) {
  return api_call("cudaDeviceCanAccessPeer", cudaErrorInvalidDevice, [&](Device&) {
    for (const int index : {device, peer}) {
      if (index < 0 || index >= settings().num_devices) return cudaErrorInvalidDevice;
    }
    *can = device != peer && settings().peers ? 1 : 0;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned flags) {
  return api_call("cudaDeviceEnablePeerAccess", cudaErrorPeerAccessUnsupported, [&](Device& device) {
    if (flags != 0) return cudaErrorInvalidValue;
    if (peer < 0 || peer >= settings().num_devices || peer == device.index) return cudaErrorInvalidDevice;
    if (!settings().peers) return cudaErrorPeerAccessUnsupported;
    return device.peers.insert(peer).second ? cudaSuccess : cudaErrorPeerAccessAlreadyEnabled;
  });
}

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* memory) {
  return api_call("cudaIpcGetMemHandle", cudaErrorMemoryAllocation, [&](Device& device) {
    const AllocationInfo info = find_allocation(memory, 1);
    if (info.kind != MemoryKind::kDevice || info.begin != memory || info.imported) {
      report("cudaIpcGetMemHandle of what is no allocation's beginning: " + describe_address(memory));
      return cudaErrorInvalidValue;
    }
    device.run_all();  // what is queued for it may be a copy or a fill, which views learn of only from now on
    const OpenHeap open(device.heap);
    return PeerMemory::get().share(info, *handle);
  });
}

cudaError_t cudaIpcOpenMemHandle(void** memory, cudaIpcMemHandle_t handle, unsigned flags) {
  return api_call("cudaIpcOpenMemHandle", cudaErrorMapBufferObjectFailed, [&](Device& device) {
    *memory = nullptr;
    if (flags != cudaIpcMemLazyEnablePeerAccess) return cudaErrorInvalidValue;
    if (!settings().peers) return cudaErrorPeerAccessUnsupported;
    bool own = false;
    const PeerMemory::Import import = PeerMemory::map_home(handle, own);
    if (own) {
      report("cudaIpcOpenMemHandle of a handle that this process has made: a pointer does there");
      return cudaErrorDeviceUninitialized;
    }
    if (import.home == nullptr) return cudaErrorMapBufferObjectFailed;
    *memory = device.heap.allocate(import.bytes, true);
    PeerMemory::get().add_view(*memory, import);
    device.has_imports = true;
    return cudaSuccess;
  });
}

cudaError_t cudaIpcCloseMemHandle(void* memory) {
  return release_call("cudaIpcCloseMemHandle", current_device(), [&](Device& device) {
    const AllocationInfo info = find_allocation(memory, 1);
    if (info.kind != MemoryKind::kDevice || info.begin != memory || !info.imported) {
      report("cudaIpcCloseMemHandle of what cudaIpcOpenMemHandle has not given: " + describe_address(memory));
      return cudaErrorInvalidValue;
    }
    device.run_all();
    PeerMemory::get().remove(memory);
    device.heap.release(memory);
    return cudaSuccess;
  });
}

}  // extern "C"
