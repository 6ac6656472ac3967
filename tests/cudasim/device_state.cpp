#include "tests/cudasim/device_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <deque>
#include <thread>

#include "tests/cudasim/fault.h"
#include "tests/cudasim/peer_memory.h"
#include "tests/cudasim/pinned_guard.h"

namespace cudasim {
namespace {

constexpr int kMaxDevices = 64;

struct Machine {
  std::mutex mutex;
  std::array<std::atomic<Device*>, kMaxDevices> devices = {};
};

Machine& machine() {
  static auto& machine = *new Machine;
  return machine;
}

thread_local int chosen = 0;
thread_local Device* running_device = nullptr;  // whose operation runs on this thread

}  // namespace

Device::Device(int number) : index(number), random(settings().seed * 1000 + static_cast<uint64_t>(number)), heap(number, settings().device_bytes) { create_stream(true); }

Stream* Device::create_internal_stream() {
  streams_.push_back(std::make_unique<Stream>(*this, streams_.size(), false));
  return streams_.back().get();
}

Stream* Device::create_stream(bool blocking) {
  streams_.push_back(std::make_unique<Stream>(*this, streams_.size(), blocking));
  Stream* stream = streams_.back().get();
  stream_handles_[stream] = stream;
  return stream;
}

Event* Device::create_event() {
  events_.push_back(std::make_unique<Event>());
  Event* event = events_.back().get();
  event->device = this;
  event_handles_[event] = event;
  return event;
}

Stream* Device::find_stream(cudaStream_t handle) {
  const auto found = stream_handles_.find(handle);
  return found == stream_handles_.end() || found->second->destroyed ? nullptr : found->second;
}

Event* Device::find_event(cudaEvent_t handle) {
  const auto found = event_handles_.find(handle);
  return found == event_handles_.end() || found->second->destroyed ? nullptr : found->second;
}

void Device::run_all() {
  for (size_t i = 0; i < streams_.size(); ++i) streams_[i]->run_through(streams_[i]->issued());
}

void Device::make_progress() {
  if (settings().streams == Settings::Streams::kLazy) return;
  const bool eager = settings().streams == Settings::Streams::kEager;
  while (eager || random.below(3) == 0) {
    std::vector<Stream*> candidates;
    for (const auto& stream : streams_) {
      if (stream->ready() && !stream->next_needs_peers()) candidates.push_back(stream.get());
    }
    if (candidates.empty()) return;
    candidates[random.below(static_cast<uint32_t>(candidates.size()))]->run_next();
  }
}

bool Device::all_idle() const {
  for (const auto& stream : streams_) {
    if (!stream->idle()) return false;
  }
  return true;
}

void Device::host_waited(const Clock& clock) {
  host_clock_.join(clock);
  PinnedGuard::get().release(index, host_clock_);
  if (!all_idle()) return;
  for (const auto& stream : streams_) {
    if (!host_clock_.covers(stream->clock())) return;
  }
  history.clear();
}

void Device::run(Stream& stream, QueuedOperation& queued) {
  if (sticky != cudaSuccess || !queued.operation.run) return;
  const Operation& operation = queued.operation;
  const OpenHeap open(heap);
  std::deque<OpenHeap> open_peers;
  for (const int peer : peers) open_peers.emplace_back(device_at(peer).heap);
  Device* const outer = running_device;
  if (outer != nullptr) unsupported("an operation inside an operation");
  running_device = this;
  footprint.clear();
  for (const auto& [ranges, write] : {std::pair(&operation.reads, false), std::pair(&operation.writes, true)}) {
    for (const MemoryRange& range : *ranges) {
      const MemoryKind kind = find_allocation(range.begin, range.bytes).kind;
      if (kind != MemoryKind::kDevice && kind != MemoryKind::kPinned) {
        report(fmt::format("{} came to run when one of its ranges ({} bytes) was {}", operation.name, range.bytes, describe_address(range.begin)));
        running_device = nullptr;
        return;
      }
      footprint.add(range.begin, range.bytes, write);
      PinnedGuard::get().open(range.begin, range.bytes);
    }
  }
  PeerMemory::get().begin_operation();
  operation.run();
  PeerMemory::get().end_operation(operation.writes);
  if (checker() != nullptr) {
    for (const MemoryRange& range : operation.writes) checker()->on_host_range(*this, range.begin, range.bytes, RangeEvent::kWritten);
  }
  PinnedGuard::get().close();
  if (operation.kind == OperationKind::kKernel) guard_pinned(stream, queued);
  running_device = nullptr;
  history.add(footprint, queued.clock, stream.id(), queued.count, operation.name);
}

// What a kernel touches of pinned memory is known when it has run; it may have been running since it was queued, for all the host knows.
void Device::guard_pinned(const Stream& stream, const QueuedOperation& queued) {
  for (const bool write : {false, true}) {
    footprint.each(write, [&](uintptr_t begin, uintptr_t end) {
      while (begin < end) {  // neighbours may be registered apart
        const AllocationInfo info = find_allocation(reinterpret_cast<const void*>(begin), 1);
        if (info.kind != MemoryKind::kPinned) return;
        const uintptr_t stop = std::min(end, reinterpret_cast<uintptr_t>(info.begin) + info.bytes);
        PinnedGuard::get().add({reinterpret_cast<const void*>(begin), stop - begin}, write, index, stream.id(), queued.count, queued.operation.name);
        begin = stop;
      }
    });
  }
}

void drive_idle_devices(const Device& waiting) {
  for (int i = 0; i < settings().num_devices; ++i) {
    Device* peer = i == waiting.index ? nullptr : existing_device(i);
    if (peer == nullptr || peer->driven.exchange(true)) continue;
    std::thread([peer] {  // which may wait itself: nobody waits for it
      choose_device(peer->index);
      if (const std::unique_lock lock(peer->mutex, std::try_to_lock); lock) {  // else its host is at it
        for (size_t k = 0; k < peer->streams().size(); ++k) {
          Stream& stream = *peer->streams()[k];
          if (const uint64_t count = stream.first_for_peers(); count != 0) stream.run_through(count);
        }
      }
      peer->driven = false;
    }).detach();
  }
}

bool in_operation() { return running_device != nullptr; }

void note_access(const Access& access) {
  if (current_lane == nullptr) return;
  const Block& block = *current_block;
  const auto* p = static_cast<const unsigned char*>(access.address);
  const std::vector<unsigned char>& params = block.kernel->params;
  const bool private_memory = (p >= current_lane->stack && p < current_lane->stack + kStackBytes) || block.shared.contains(p, 1) || (p >= params.data() && p < params.data() + params.size());
  // A strong access to pinned memory is how host and device talk while a kernel runs: no data, and ordered by itself.
  if (!private_memory && (block.device->heap.contains(p) || (!access.atomic && find_allocation(p, 1).kind == MemoryKind::kPinned))) {
    block.device->footprint.add(p, static_cast<size_t>(access.bytes), access.write);
  }
  PeerMemory& peer_memory = PeerMemory::get();
  if (access.write && !access.atomic && peer_memory.covers(p)) peer_memory.note_store(p, static_cast<size_t>(access.bytes));
  if (checker() != nullptr) checker()->on_access(access);
}

Device& device_at(int index) {
  Machine& all = machine();
  if (index < 0 || index >= kMaxDevices) unsupported("more than 64 devices");
  if (Device* device = all.devices[static_cast<size_t>(index)].load(std::memory_order_acquire)) return *device;
  const std::lock_guard lock(all.mutex);
  std::atomic<Device*>& slot = all.devices[static_cast<size_t>(index)];
  if (slot.load() == nullptr) {
    install_fault_handler();
    slot.store(new Device(index), std::memory_order_release);
  }
  return *slot.load();
}

Device* existing_device(int index) { return index < 0 || index >= kMaxDevices ? nullptr : machine().devices[static_cast<size_t>(index)].load(std::memory_order_acquire); }

int chosen_device() { return chosen; }
void choose_device(int index) { chosen = index; }
Device& current_device() { return running_device != nullptr ? *running_device : device_at(chosen); }
int device_index(const Device& device) { return device.index; }
Random& device_random(Device& device) { return device.random; }
size_t free_device_bytes(const Device& device) { return device.heap.free_bytes(); }

KernelStatistics kernel_statistics(const std::string& name_part) {
  KernelStatistics sum;
  for (int i = 0; i < kMaxDevices; ++i) {
    Device* device = existing_device(i);
    if (device == nullptr) continue;
    const std::lock_guard lock(device->mutex);
    for (const auto& [name, one] : device->statistics) {
      if (name.find(name_part) == std::string::npos) continue;
      sum.launches += one.launches, sum.blocks += one.blocks, sum.switches += one.switches, sum.collectives += one.collectives;
      sum.ldmatrix_phases += one.ldmatrix_phases, sum.ldmatrix_conflicts += one.ldmatrix_conflicts;
    }
  }
  return sum;
}

}  // namespace cudasim
