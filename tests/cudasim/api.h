// What every function of the runtime API begins and ends with: the driver is there, the call is counted and may be made to fail, the device is locked and has not failed before, and the
// code is kept for cudaGetLastError. Any host thread.
#pragma once

#include <fmt/format.h>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/graph.h"
#include "tests/cudasim/memory_map.h"

namespace cudasim {

cudaError_t& last_api_error();
/// Keeps it for cudaGetLastError.
cudaError_t remember(cudaError_t error);
/// No driver or no device, or a call from inside an operation.
cudaError_t machine_error(const char* function);

/// `injected`: the code when CUDASIM_FAIL_CALL asks for this call's failure. body(Device&) -> cudaError_t under the chosen device's lock.
template <typename Body>
cudaError_t api_call(const char* function, cudaError_t injected, Body body) {
  if (const cudaError_t error = machine_error(function); error != cudaSuccess) return remember(error);
  if (call_fails(function)) return remember(injected);
  Device& device = current_device();
  const std::lock_guard lock(device.mutex);
  if (device.sticky != cudaSuccess) return remember(device.sticky);
  return remember(body(device));
}

/// For calls that give something back: they do so whatever has failed before, and return what has failed.
template <typename Body>
cudaError_t release_call(const char* function, Device& device, Body body) {
  if (const cudaError_t error = machine_error(function); error != cudaSuccess) return remember(error);
  const bool injected = call_fails(function);
  const std::lock_guard lock(device.mutex);
  const cudaError_t error = body(device);
  if (device.sticky != cudaSuccess) return remember(device.sticky);
  return remember(injected ? cudaErrorLaunchFailure : error);
}

/// body(Device&, Stream&); a finding for what is no stream.
template <typename Body>
cudaError_t stream_call(const char* function, cudaError_t injected, cudaStream_t handle, Body body) {
  return api_call(function, injected, [&](Device& device) {
    if (handle == nullptr || handle == cudaStreamLegacy || handle == cudaStreamPerThread) {
      report(fmt::format("{}: on a default stream; name a stream of your own", function));
      return cudaErrorInvalidValue;
    }
    Stream* stream = device.find_stream(handle);
    if (stream == nullptr) {
      report(fmt::format("{}: no live stream of device {}", function, device.index));
      return cudaErrorInvalidResourceHandle;
    }
    return body(device, *stream);
  });
}

/// body(Device&, Event&).
template <typename Body>
cudaError_t event_call(const char* function, cudaError_t injected, cudaEvent_t handle, Body body) {
  return api_call(function, injected, [&](Device& device) {
    Event* event = device.find_event(handle);
    if (event == nullptr) {
      report(fmt::format("{}: no live event of device {}", function, device.index));
      return cudaErrorInvalidResourceHandle;
    }
    return body(device, *event);
  });
}

}  // namespace cudasim
