// Streams and events. Waiting runs what is waited for; polling makes progress by seed, so that a loop of queries ends.
#include "tests/cudasim/api.h"

#include <chrono>

using namespace cudasim;

namespace {

double now_ms() { return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

cudaError_t create_stream(const char* function, cudaStream_t* stream, unsigned flags) {
  return api_call(function, cudaErrorMemoryAllocation, [&](Device& device) {
    Stream* created = device.create_stream((flags & cudaStreamNonBlocking) == 0);
    created->has_handle = true;
    *stream = reinterpret_cast<cudaStream_t>(created);
    return cudaSuccess;
  });
}

cudaError_t create_event(const char* function, cudaEvent_t* event) {
  return api_call(function, cudaErrorMemoryAllocation, [&](Device& device) {
    *event = reinterpret_cast<cudaEvent_t>(device.create_event());
    return cudaSuccess;
  });
}

// A query that finds work undone lets the stream do some of it, now and then.
bool done_after_progress(Device& device, Stream& stream, uint64_t count) {
  if (stream.done() >= count) return true;
  if (device.random.below(4) == 0) stream.run_through(stream.done() + 1);
  return stream.done() >= count;
}

// The device that owns an event or stream, which a thread may wait for whatever device it has chosen.
template <typename Find>
Device* owner_of(Find find) {
  const int first = chosen_device();  // the others' locks may be held by ranks that wait for this one in a collective
  for (int i = 0; i < settings().num_devices; ++i) {
    Device* device = existing_device((first + i) % settings().num_devices);
    if (device == nullptr) continue;
    const std::lock_guard lock(device->mutex);
    if (find(*device)) return device;
  }
  return nullptr;
}

// Runs body with the owner's lock as if its device were chosen.
template <typename Body>
cudaError_t on_owner(Device* owner, Body body) {
  if (owner == nullptr || owner->index == chosen_device()) return body();
  const int chosen = chosen_device();
  choose_device(owner->index);
  const cudaError_t error = body();
  choose_device(chosen);
  return error;
}

Device* owner_of_stream(cudaStream_t handle) {
  return owner_of([&](Device& device) { return device.find_stream(handle) != nullptr; });
}
Device* owner_of_event(cudaEvent_t handle) {
  return owner_of([&](Device& device) { return device.find_event(handle) != nullptr; });
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return create_stream("cudaStreamCreate", stream, cudaStreamDefault); }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) { return create_stream("cudaStreamCreateWithFlags", stream, flags); }
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) { return create_stream("cudaStreamCreateWithPriority", stream, flags); }

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  Device* owner = owner_of_stream(handle);
  return release_call("cudaStreamDestroy", owner != nullptr ? *owner : current_device(), [&](Device& device) {
    Stream* stream = device.find_stream(handle);
    if (stream == nullptr || stream == &device.legacy()) {
      report("cudaStreamDestroy of what is no live stream");
      return cudaErrorInvalidResourceHandle;
    }
    if (stream->capture != nullptr) stream->capture->invalid = true;
    stream->destroyed = true;  // what is queued still runs, with the device's next wait
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return on_owner(owner_of_stream(handle), [&] {
    return stream_call("cudaStreamSynchronize", cudaErrorLaunchFailure, handle, [&](Device& device, Stream& stream) {
      if (const cudaError_t error = forbid_in_capture(stream); error != cudaSuccess) return error;
      device.make_progress();
      const Clock clock = stream.clock();
      stream.run_through(stream.issued());
      device.host_waited(clock);
      return device.sticky;
    });
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return on_owner(owner_of_stream(handle), [&] {
    return stream_call("cudaStreamQuery", cudaErrorLaunchFailure, handle, [&](Device& device, Stream& stream) {
      if (const cudaError_t error = forbid_in_capture(stream); error != cudaSuccess) return error;
      if (!done_after_progress(device, stream, stream.issued())) return device.sticky != cudaSuccess ? device.sticky : cudaErrorNotReady;
      device.host_waited(stream.clock());
      return device.sticky;
    });
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned) {
  return stream_call("cudaStreamWaitEvent", cudaErrorInvalidResourceHandle, handle, [&](Device& device, Stream& stream) {
    Event* event = device.find_event(event_handle);
    if (event == nullptr) {
      report("cudaStreamWaitEvent: no live event of this device");
      return cudaErrorInvalidResourceHandle;
    }
    if (event->capture != nullptr || stream.capture != nullptr) return capture_wait(stream, *event);
    if (event->stream == nullptr) return cudaSuccess;  // never recorded: complete
    Operation wait;
    wait.name = "a wait for an event";
    wait.kind = OperationKind::kMarker;
    stream.push(std::move(wait), {{event->stream, event->count}}, event->clock);
    device.make_progress();
    return device.sticky;
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return stream_call("cudaStreamGetFlags", cudaErrorInvalidResourceHandle, handle, [&](Device&, Stream& stream) {
    *flags = stream.blocking() ? cudaStreamDefault : cudaStreamNonBlocking;
    return cudaSuccess;
  });
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void* data) {
  return stream_call("cudaLaunchHostFunc", cudaErrorLaunchFailure, handle, [&](Device&, Stream&) {
    Operation host;
    host.name = "a host function";
    host.kind = OperationKind::kHostFunction;
    host.run = [=] { function(data); };
    return enqueue(handle, std::move(host));
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) { return create_event("cudaEventCreate", event); }
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) { return create_event("cudaEventCreateWithFlags", event); }

cudaError_t cudaEventDestroy(cudaEvent_t handle) {
  Device* owner = owner_of_event(handle);
  return release_call("cudaEventDestroy", owner != nullptr ? *owner : current_device(), [&](Device& device) {
    Event* event = device.find_event(handle);
    if (event == nullptr) {
      report("cudaEventDestroy of what is no live event");
      return cudaErrorInvalidResourceHandle;
    }
    event->destroyed = true;
    return cudaSuccess;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return stream_call("cudaEventRecord", cudaErrorLaunchFailure, stream_handle, [&](Device& device, Stream& stream) {
    Event* event = device.find_event(handle);
    if (event == nullptr) {
      report("cudaEventRecord: no live event of this device");
      return cudaErrorInvalidResourceHandle;
    }
    if (stream.capture != nullptr) {
      capture_record(stream, *event);
      return cudaSuccess;
    }
    event->capture = nullptr;
    event->stream = &stream;
    event->count = stream.issued();
    event->clock = stream.clock();
    event->recorded_ms = now_ms();
    return cudaSuccess;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return on_owner(owner_of_event(handle), [&] {
    return event_call("cudaEventSynchronize", cudaErrorLaunchFailure, handle, [&](Device& device, Event& event) {
      if (event.capture != nullptr) return cudaErrorCapturedEvent;
      if (event.stream == nullptr) return cudaSuccess;
      device.make_progress();
      event.stream->run_through(event.count);
      device.host_waited(event.clock);
      return device.sticky;
    });
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return on_owner(owner_of_event(handle), [&] {
    return event_call("cudaEventQuery", cudaErrorLaunchFailure, handle, [&](Device& device, Event& event) {
      if (event.capture != nullptr) return cudaErrorCapturedEvent;
      if (event.stream == nullptr) return cudaSuccess;
      if (!done_after_progress(device, *event.stream, event.count)) return device.sticky != cudaSuccess ? device.sticky : cudaErrorNotReady;
      device.host_waited(event.clock);
      return device.sticky;
    });
  });
}

// Host time between the two records: says nothing about a device.
cudaError_t cudaEventElapsedTime(float* ms, cudaEvent_t start, cudaEvent_t end) {
  return event_call("cudaEventElapsedTime", cudaErrorLaunchFailure, end, [&](Device& device, Event& last) {
    const Event* first = device.find_event(start);
    if (first == nullptr || first->stream == nullptr || last.stream == nullptr) return cudaErrorInvalidResourceHandle;
    if (first->stream->done() < first->count || last.stream->done() < last.count) return cudaErrorNotReady;
    *ms = static_cast<float>(last.recorded_ms - first->recorded_ms);
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return api_call("cudaDeviceSynchronize", cudaErrorLaunchFailure, [&](Device& device) {
    if (const cudaError_t error = forbid_while_capturing(device); error != cudaSuccess) return error;
    device.make_progress();
    device.run_all();
    Clock all;
    for (const auto& stream : device.streams()) all.join(stream->clock());
    device.host_waited(all);
    return device.sticky;
  });
}

}  // extern "C"
