// Devices, their properties, versions and error codes.
#include <algorithm>
#include <cstdio>

#include "tests/cudasim/api.h"
#include "tests/cudasim/device_limits.h"

using namespace cudasim;

namespace {

bool exists(int device) { return device >= 0 && device < settings().num_devices; }

cudaDeviceProp properties_of(int device) {
  cudaDeviceProp p{};
  std::snprintf(p.name, sizeof p.name, "cudasim (a simulated device)");
  p.uuid.bytes[0] = static_cast<char>(device + 1);
  p.totalGlobalMem = settings().device_bytes;
  p.sharedMemPerBlock = kSharedBytes;
  p.sharedMemPerBlockOptin = shared_bytes_opt_in(settings().compute_capability);
  p.sharedMemPerMultiprocessor = shared_bytes_per_multiprocessor(settings().compute_capability);
  p.reservedSharedMemPerBlock = kSharedBytesReserved;
  p.regsPerBlock = p.regsPerMultiprocessor = kRegisters;
  p.warpSize = kWarpLanes;
  p.maxThreadsPerBlock = kMaxLanes;
  p.maxThreadsDim[0] = p.maxThreadsDim[1] = kMaxLanes, p.maxThreadsDim[2] = 64;
  p.maxGridSize[0] = 0x7fffffff, p.maxGridSize[1] = p.maxGridSize[2] = 65535;
  p.totalConstMem = 65536;
  p.major = settings().compute_capability / 10, p.minor = settings().compute_capability % 10;
  p.multiProcessorCount = settings().num_multiprocessors;
  p.canMapHostMemory = p.unifiedAddressing = p.concurrentKernels = p.hostRegisterSupported = 1;
  p.canUseHostPointerForRegisteredMem = settings().host_pointers ? 1 : 0;
  p.asyncEngineCount = 2;
  p.l2CacheSize = kL2Bytes;
  p.maxThreadsPerMultiProcessor = kMaxThreadsPerMultiprocessor;
  p.maxBlocksPerMultiProcessor = kMaxBlocksPerMultiprocessor;
  p.pciBusID = device + 1;
  p.memoryBusWidth = 5120;
  p.streamPrioritiesSupported = 1;
  return p;
}

cudaError_t attribute_of(const cudaDeviceProp& p, cudaDeviceAttr attribute, int* value) {
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock: *value = p.maxThreadsPerBlock; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.sharedMemPerBlock); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.sharedMemPerBlockOptin); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor: *value = static_cast<int>(p.sharedMemPerMultiprocessor); break;
    case cudaDevAttrReservedSharedMemoryPerBlock: *value = static_cast<int>(p.reservedSharedMemPerBlock); break;
    case cudaDevAttrWarpSize: *value = p.warpSize; break;
    case cudaDevAttrMaxRegistersPerBlock: *value = p.regsPerBlock; break;
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = p.regsPerMultiprocessor; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiProcessorCount; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrL2CacheSize: *value = p.l2CacheSize; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.maxThreadsPerMultiProcessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.maxBlocksPerMultiProcessor; break;
    case cudaDevAttrAsyncEngineCount: *value = p.asyncEngineCount; break;
    case cudaDevAttrUnifiedAddressing: *value = p.unifiedAddressing; break;
    case cudaDevAttrCanMapHostMemory: *value = p.canMapHostMemory; break;
    case cudaDevAttrHostRegisterSupported: *value = p.hostRegisterSupported; break;
    case cudaDevAttrHostRegisterReadOnlySupported: *value = 0; break;
    case cudaDevAttrConcurrentKernels: *value = p.concurrentKernels; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.memoryBusWidth; break;
    case cudaDevAttrClockRate: *value = 0; break;  // in kHz: a simulated device has no speed
    case cudaDevAttrMemoryClockRate: *value = 0; break;
    case cudaDevAttrCooperativeLaunch: *value = 0; break;
    case cudaDevAttrMemoryPoolsSupported: *value = 0; break;
    default: unsupported(fmt::format("cudaDeviceGetAttribute of attribute {}", static_cast<int>(attribute)));
  }
  return cudaSuccess;
}

struct ErrorName {
  cudaError_t code;
  const char* name;
  const char* sentence;
};
#define CUDASIM_ERROR(code, sentence) {code, #code, sentence}
constexpr ErrorName kErrors[] = {
    CUDASIM_ERROR(cudaSuccess, "no error"),
    CUDASIM_ERROR(cudaErrorInvalidValue, "invalid argument"),
    CUDASIM_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    CUDASIM_ERROR(cudaErrorInitializationError, "initialization error"),
    CUDASIM_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    CUDASIM_ERROR(cudaErrorInvalidPitchValue, "invalid pitch argument"),
    CUDASIM_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    CUDASIM_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    CUDASIM_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    CUDASIM_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    CUDASIM_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    CUDASIM_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    CUDASIM_ERROR(cudaErrorNotReady, "device not ready"),
    CUDASIM_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    CUDASIM_ERROR(cudaErrorLaunchOutOfResources, "too many resources requested for launch"),
    CUDASIM_ERROR(cudaErrorPeerAccessAlreadyEnabled, "peer access is already enabled"),
    CUDASIM_ERROR(cudaErrorPeerAccessUnsupported, "peer access is not supported between these two devices"),
    CUDASIM_ERROR(cudaErrorMapBufferObjectFailed, "mapping of buffer object failed"),
    CUDASIM_ERROR(cudaErrorDeviceUninitialized, "invalid device context"),
    CUDASIM_ERROR(cudaErrorHostMemoryAlreadyRegistered, "part or all of the requested memory range is already mapped"),
    CUDASIM_ERROR(cudaErrorHostMemoryNotRegistered, "pointer does not correspond to a registered memory region"),
    CUDASIM_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    CUDASIM_ERROR(cudaErrorNotPermitted, "operation not permitted"),
    CUDASIM_ERROR(cudaErrorNotSupported, "operation not supported"),
    CUDASIM_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    CUDASIM_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    CUDASIM_ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences"),
    CUDASIM_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    CUDASIM_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    CUDASIM_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    CUDASIM_ERROR(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing blocking stream"),
    CUDASIM_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
    CUDASIM_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    CUDASIM_ERROR(cudaErrorGraphExecUpdateFailure, "the graph update was not performed because it included changes which violated constraints specific to instantiated graph update"),
};
#undef CUDASIM_ERROR

const ErrorName* find_error(cudaError_t code) {
  const auto* found = std::find_if(std::begin(kErrors), std::end(kErrors), [code](const ErrorName& error) { return error.code == code; });
  return found == std::end(kErrors) ? nullptr : found;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  *count = 0;
  if (const cudaError_t error = machine_error("cudaGetDeviceCount"); error != cudaSuccess) return remember(error);
  if (call_fails("cudaGetDeviceCount")) return remember(cudaErrorInitializationError);
  *count = settings().num_devices;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (const cudaError_t error = machine_error("cudaSetDevice"); error != cudaSuccess) return remember(error);
  if (call_fails("cudaSetDevice") || !exists(device)) return remember(cudaErrorInvalidDevice);
  choose_device(device);
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (const cudaError_t error = machine_error("cudaGetDevice"); error != cudaSuccess) return remember(error);
  *device = chosen_device();
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (const cudaError_t error = machine_error("cudaGetDeviceProperties"); error != cudaSuccess) return remember(error);
  if (call_fails("cudaGetDeviceProperties") || !exists(device)) return remember(cudaErrorInvalidDevice);
  *properties = properties_of(device);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t error = machine_error("cudaDeviceGetAttribute"); error != cudaSuccess) return remember(error);
  if (call_fails("cudaDeviceGetAttribute") || !exists(device)) return remember(cudaErrorInvalidDevice);
  return attribute_of(properties_of(device), attribute, value);
}

cudaError_t cudaDeviceGetPCIBusId(char* text, int bytes, int device) {
  if (!exists(device)) return remember(cudaErrorInvalidDevice);
  std::snprintf(text, static_cast<size_t>(bytes), "0000:%02x:00.0", device + 1);
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0, *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = CUDART_VERSION;
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().driver ? CUDART_VERSION : 0;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = last_api_error();
  last_api_error() = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() { return last_api_error(); }

const char* cudaGetErrorName(cudaError_t code) {
  const ErrorName* error = find_error(code);
  return error != nullptr ? error->name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t code) {
  const ErrorName* error = find_error(code);
  return error != nullptr ? error->sentence : "unrecognized error code";
}

}  // extern "C"
