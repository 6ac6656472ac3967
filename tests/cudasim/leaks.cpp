#include "tests/cudasim/leaks.h"

#include <fmt/format.h>

#include <cstdio>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/graph_table.h"
#include "tests/cudasim/memory_map.h"

namespace cudasim {
namespace {

size_t print_allocations(MemoryKind kind, int device) {
  const auto live = MemoryMap::get().live(kind, device);
  for (const AllocationInfo& info : live) fmt::print(stderr, "cudasim: LEAK {}\n", describe_address(info.begin));
  return live.size();
}

size_t print_handles(const Device& device) {
  size_t streams = 0, events = 0;
  for (const auto& stream : device.streams()) streams += stream->has_handle && !stream->destroyed;
  for (const auto& event : device.events()) events += !event->destroyed;
  if (streams > 0) fmt::print(stderr, "cudasim: LEAK {} streams of device {}\n", streams, device.index);
  if (events > 0) fmt::print(stderr, "cudasim: LEAK {} events of device {}\n", events, device.index);
  return streams + events;
}

}  // namespace

size_t print_leaks() {
  size_t count = print_allocations(MemoryKind::kPinned, -1);
  for (int i = 0; i < settings().num_devices; ++i) {
    const Device* device = existing_device(i);
    if (device != nullptr) count += print_allocations(MemoryKind::kDevice, i) + print_handles(*device);
  }
  const size_t graphs = GraphTable::get().size();
  if (graphs > 0) fmt::print(stderr, "cudasim: LEAK {} graphs\n", graphs);
  const size_t communicators = live_nccl_communicators(), objects = live_cublas_objects();
  if (communicators > 0) fmt::print(stderr, "cudasim: LEAK {} NCCL communicators\n", communicators);
  if (objects > 0) fmt::print(stderr, "cudasim: LEAK {} cuBLASLt objects\n", objects);
  return count + graphs + communicators + objects;
}

}  // namespace cudasim
