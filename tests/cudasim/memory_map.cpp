#include "tests/cudasim/memory_map.h"

#include <fmt/format.h>

namespace cudasim {

MemoryMap& MemoryMap::get() {
  static auto& map = *new MemoryMap;
  return map;
}

void MemoryMap::add(const AllocationInfo& info) {
  const std::unique_lock lock(mutex_);
  entries_[info.begin] = info;
  ++generation_;
}

void MemoryMap::mark_freed(const void* begin) {
  const std::unique_lock lock(mutex_);
  entries_.at(static_cast<const unsigned char*>(begin)).kind = MemoryKind::kFreed;
  ++generation_;
}

void MemoryMap::remove(const void* begin) {
  const std::unique_lock lock(mutex_);
  entries_.erase(static_cast<const unsigned char*>(begin));
  ++generation_;
}

AllocationInfo MemoryMap::below(const void* address) const {
  const std::shared_lock lock(mutex_);
  auto after = entries_.upper_bound(static_cast<const unsigned char*>(address));
  return after == entries_.begin() ? AllocationInfo{} : std::prev(after)->second;
}

std::vector<AllocationInfo> MemoryMap::live(MemoryKind kind, int device) const {
  const std::shared_lock lock(mutex_);
  std::vector<AllocationInfo> found;
  for (const auto& [begin, info] : entries_) {
    if (info.kind == kind && info.device == device) found.push_back(info);
  }
  return found;
}

AllocationInfo find_allocation(const void* address, size_t bytes) {
  // Kernels walk through one buffer after another: the last answers are nearly always the next ones.
  struct Cache {
    uint64_t generation = 0;
    AllocationInfo info;
  };
  thread_local Cache cache[8];
  MemoryMap& map = MemoryMap::get();
  const auto* p = static_cast<const unsigned char*>(address);
  Cache& slot = cache[reinterpret_cast<uintptr_t>(p) >> 16 & 7];
  const uint64_t generation = map.generation();
  const bool hit = slot.generation == generation && p >= slot.info.begin && p < slot.info.begin + slot.info.bytes;
  if (!hit) slot = {generation, map.below(address)};
  AllocationInfo info = slot.info;
  constexpr size_t kGuard = 4096 * 2;  // an access just behind an allocation belongs to it
  if (info.kind == MemoryKind::kUnknown || p >= info.begin + info.bytes + kGuard) return {};
  if (info.kind == MemoryKind::kPinned && p >= info.begin + info.bytes) return {};
  if (info.kind != MemoryKind::kFreed && p + bytes > info.begin + info.bytes) info.kind = MemoryKind::kPastEnd;
  return info;
}

std::string describe_address(const void* address) {
  const AllocationInfo info = find_allocation(address, 1);
  if (info.kind == MemoryKind::kUnknown) return fmt::format("ordinary host memory or nothing at all ({})", address);
  const auto offset = static_cast<const unsigned char*>(address) - info.begin;
  const std::string owner = info.device < 0 ? "pinned host memory" : fmt::format("device {}'s", info.device);
  const char* state = info.kind == MemoryKind::kFreed ? "freed " : "";
  if (info.device < 0) return fmt::format("offset {} of {} of {} bytes", offset, owner, info.bytes);
  return fmt::format("offset {} of {} {}allocation {} of {} bytes", offset, owner, state, info.number, info.bytes);
}

}  // namespace cudasim
