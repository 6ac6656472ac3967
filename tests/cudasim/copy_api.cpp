// Copies and fills.
#include <atomic>
#include <cstring>

#include "tests/cudasim/api.h"

using namespace cudasim;

namespace {

bool on_device(const void* pointer) {
  const MemoryKind kind = find_allocation(pointer, 1).kind;
  return kind == MemoryKind::kDevice || kind == MemoryKind::kFreed || kind == MemoryKind::kPastEnd;
}

bool pinned(const void* pointer) { return find_allocation(pointer, 1).kind == MemoryKind::kPinned; }

// Asynchronous copies: the kind must fit, and host memory must be pinned.
cudaError_t check_copy(const char* function, const void* dst, const void* src, cudaMemcpyKind kind) {
  const bool to_device = on_device(dst), from_device = on_device(src);
  const bool fits = kind == cudaMemcpyDefault || (kind == cudaMemcpyHostToDevice && to_device && !from_device) || (kind == cudaMemcpyDeviceToHost && !to_device && from_device) ||
                    (kind == cudaMemcpyDeviceToDevice && to_device && from_device) || (kind == cudaMemcpyHostToHost && !to_device && !from_device);
  if (!fits) {
    report(fmt::format("{}: its kind does not fit the pointers", function));
    return cudaErrorInvalidMemcpyDirection;
  }
  for (const void* pointer : {dst, src}) {
    if (on_device(pointer) || pinned(pointer)) continue;
    report(fmt::format("{} with pageable host memory: it would not be asynchronous, and may not be captured", function));
    return cudaErrorInvalidValue;
  }
  return cudaSuccess;
}

std::string copy_name(const void* dst, const void* src, size_t bytes) {
  const char* way = on_device(dst) ? (on_device(src) ? "on the device" : "to the device") : (on_device(src) ? "to the host" : "on the host");
  return fmt::format("copy of {} bytes {}", bytes, way);
}

Operation copy_operation(void* dst, const void* src, size_t bytes) {
  Operation copy;
  copy.name = copy_name(dst, src, bytes);
  copy.kind = OperationKind::kCopy;
  copy.reads = {{src, bytes}};
  copy.writes = {{dst, bytes}};
  copy.run = [=] { std::memcpy(dst, src, bytes); };  // pinned memory is read when the copy runs
  return copy;
}

// Of batches to a device, counted over all devices.
bool is_damaged() {
  static std::atomic<uint64_t> count = 0;
  return settings().damage != 0 && ++count % settings().damage == 0;
}

Operation fill_operation(void* dst, int value, size_t bytes) {
  Operation fill;
  fill.name = fmt::format("fill of {} bytes", bytes);
  fill.kind = OperationKind::kFill;
  fill.writes = {{dst, bytes}};
  fill.run = [=] { std::memset(dst, value, bytes); };
  return fill;
}

// On the legacy default stream: after and before all that blocking streams do; but non-blocking streams know nothing of it.
cudaError_t run_on_legacy(Device& device, Operation operation, bool host_waits) {
  if (const cudaError_t error = forbid_while_capturing(device); error != cudaSuccess) return error;
  std::vector<std::pair<Stream*, uint64_t>> waits;
  Clock after;
  for (const auto& stream : device.streams()) {
    if (!stream->blocking() || stream.get() == &device.legacy()) continue;
    waits.emplace_back(stream.get(), stream->issued());
    after.join(stream->clock());
  }
  for (const auto* ranges : {&operation.reads, &operation.writes}) {
    for (const MemoryRange& range : *ranges) {
      const MemoryKind kind = find_allocation(range.begin, range.bytes).kind;
      if (kind == MemoryKind::kDevice || kind == MemoryKind::kPinned) continue;
      report(fmt::format("{}: its {} bytes begin at {}", operation.name, range.bytes, describe_address(range.begin)));
      return cudaErrorInvalidValue;
    }
  }
  device.make_progress();
  device.legacy().push(std::move(operation), waits, after);
  device.legacy().run_through(device.legacy().issued());
  if (host_waits) device.host_waited(device.legacy().clock());
  return device.sticky;
}

}  // namespace

extern "C" {

cudaError_t cudaMemcpy(void* dst, const void* src, size_t bytes, cudaMemcpyKind) {
  return api_call("cudaMemcpy", cudaErrorLaunchFailure, [&](Device& device) {
    if (bytes == 0) return cudaSuccess;
    Operation copy = copy_operation(dst, src, bytes);
    const auto pageable = [](const MemoryRange& range) { return find_allocation(range.begin, 1).kind == MemoryKind::kUnknown; };
    std::erase_if(copy.reads, pageable);  // the host's own memory: nobody else touches it
    std::erase_if(copy.writes, pageable);
    return run_on_legacy(device, std::move(copy), true);
  });
}

cudaError_t cudaMemset(void* dst, int value, size_t bytes) {
  return api_call("cudaMemset", cudaErrorLaunchFailure, [&](Device& device) {
    return bytes == 0 ? cudaSuccess : run_on_legacy(device, fill_operation(dst, value, bytes), false);  // a device's fill may go on when the call returns
  });
}

cudaError_t cudaMemcpyAsync(void* dst, const void* src, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return stream_call("cudaMemcpyAsync", cudaErrorLaunchFailure, stream, [&](Device&, Stream&) {
    if (bytes == 0) return cudaSuccess;
    if (const cudaError_t error = check_copy("cudaMemcpyAsync", dst, src, kind); error != cudaSuccess) return error;
    return enqueue(stream, copy_operation(dst, src, bytes));
  });
}

cudaError_t cudaMemsetAsync(void* dst, int value, size_t bytes, cudaStream_t stream) {
  return stream_call("cudaMemsetAsync", cudaErrorLaunchFailure, stream, [&](Device&, Stream&) { return bytes == 0 ? cudaSuccess : enqueue(stream, fill_operation(dst, value, bytes)); });
}

cudaError_t cudaMemcpy2DAsync(void* dst, size_t dst_pitch, const void* src, size_t src_pitch, size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  return stream_call("cudaMemcpy2DAsync", cudaErrorLaunchFailure, stream, [&](Device&, Stream&) {
    if (width == 0 || height == 0) return cudaSuccess;
    if (width > dst_pitch || width > src_pitch) return cudaErrorInvalidPitchValue;
    if (const cudaError_t error = check_copy("cudaMemcpy2DAsync", dst, src, kind); error != cudaSuccess) return error;
    Operation copy;
    copy.name = fmt::format("{} in {} rows", copy_name(dst, src, width * height), height);
    copy.kind = OperationKind::kCopy;
    for (size_t row = 0; row < height; ++row) {
      copy.reads.push_back({static_cast<const char*>(src) + row * src_pitch, width});
      copy.writes.push_back({static_cast<char*>(dst) + row * dst_pitch, width});
    }
    copy.run = [=] {
      for (size_t row = 0; row < height; ++row) std::memcpy(static_cast<char*>(dst) + row * dst_pitch, static_cast<const char*>(src) + row * src_pitch, width);
    };
    return enqueue(stream, std::move(copy));
  });
}

// The copies of a batch have no order among themselves.
cudaError_t cudaMemcpyBatchAsync(void* const* dsts, const void* const* srcs, const size_t* sizes, size_t count, cudaMemcpyAttributes* attributes, size_t* attribute_starts,
                                 size_t num_attributes, cudaStream_t stream) {
  return stream_call("cudaMemcpyBatchAsync", cudaErrorLaunchFailure, stream, [&](Device& device, Stream&) {
    if (!settings().batched_copies) return cudaErrorNotSupported;
    if (count == 0 || num_attributes == 0 || num_attributes > count || attribute_starts[0] != 0) return cudaErrorInvalidValue;
    for (size_t i = 0; i < num_attributes; ++i) {
      if (attributes[i].srcAccessOrder != cudaMemcpySrcAccessOrderStream) unsupported("cudaMemcpyBatchAsync whose source is not read in stream order");
    }
    Operation batch;
    size_t total = 0;
    std::vector<size_t> order(count);
    for (size_t i = 0; i < count; ++i) {
      if (dsts[i] == nullptr || srcs[i] == nullptr || sizes[i] == 0) return cudaErrorInvalidValue;
      if (const cudaError_t error = check_copy("cudaMemcpyBatchAsync", dsts[i], srcs[i], cudaMemcpyDefault); error != cudaSuccess) return error;
      batch.reads.push_back({srcs[i], sizes[i]});
      batch.writes.push_back({dsts[i], sizes[i]});
      total += sizes[i];
      order[i] = i;
    }
    for (size_t i = count; i > 1; --i) std::swap(order[i - 1], order[device.random.below(static_cast<uint32_t>(i))]);
    batch.name = fmt::format("batch of {} copies, {} bytes", count, total);
    batch.kind = OperationKind::kCopy;
    const std::vector<void*> to(dsts, dsts + count);
    const std::vector<const void*> from(srcs, srcs + count);
    const std::vector<size_t> bytes(sizes, sizes + count);
    const bool damaged = on_device(dsts[0]) && is_damaged();
    batch.run = [=] {
      for (const size_t i : order) std::memcpy(to[i], from[i], bytes[i]);
      if (damaged) static_cast<unsigned char*>(to[0])[bytes[0] / 3] ^= 4;
    };
    return enqueue(stream, std::move(batch));
  });
}

}  // extern "C"
