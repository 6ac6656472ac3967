#include "tests/cudasim/checker/race_checker.h"

#include <fmt/core.h>

#include <algorithm>

#include "tests/cudasim/checker/read_only_memory.h"
#include "tests/cudasim/checker/site.h"
#include "tests/cudasim/ptx/library.h"
#include "tests/cudasim/scheduler.h"

namespace cudasim {

namespace {

constexpr size_t kMaxFindings = 8;  // of a launch
constexpr uintptr_t kPageBytes = 4096;

constexpr uint8_t all_of(int bytes, unsigned from) { return static_cast<uint8_t>(((1u << bytes) - 1) << from); }

/// The lane's clock when it made an access: stamps keep its lowest 15 bits.
uint32_t full_clock(uint32_t lane_clock, uint32_t clock15) { return lane_clock - ((lane_clock - clock15) & 0x7FFF); }

/// For messages: names shared memory by the block's own offsets.
std::string describe_place(const void* address) {
  const SharedMemory& shared = current_block->shared;
  const auto* p = static_cast<const unsigned char*>(address);
  if (p >= shared.dynamic_begin && p < shared.dynamic_end) return fmt::format("dynamic shared memory, offset {}", p - shared.dynamic_begin);
  if (p >= shared.static_begin && p < shared.static_end) return fmt::format("static shared memory, offset {}", p - shared.static_begin);
  return describe_address(address);
}

const Lane& lane_of(int id) { return (*current_block->lanes)[static_cast<size_t>(id)]; }

}  // namespace

RaceChecker::BlockState& RaceChecker::state() {
  // On the heap: a module that is opened by dlopen has hardly a kilobyte of thread_local memory.
  static thread_local constinit BlockState* current __attribute__((tls_model("initial-exec"))) = nullptr;  // read by one instruction
  if (current == nullptr) {
    thread_local const std::unique_ptr<BlockState> block = std::make_unique<BlockState>();
    current = block.get();
  }
  return *current;
}

RaceChecker::DeviceMemory& RaceChecker::memory_of(Device& device) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<DeviceMemory>& memory = devices_[&device];
  if (memory == nullptr) memory = std::make_unique<DeviceMemory>();
  return *memory;
}

void RaceChecker::on_block_begin(Block& block) {
  BlockState& own = state();
  own.memory = &memory_of(*block.device);
  own.recent.fill(nullptr);
  own.device_scope = Stamp::launch_scope(block.launch_id, block.linear);
  own.shared_scope = Stamp::block_scope(block.block_id);
  own.seen.clear();
  own.epoch_clocks.assign(static_cast<size_t>(block.num_lanes), 0);
  own.epoch = block.epoch;
  const auto fit = [](ShadowMemory& shadow, const unsigned char* begin, const unsigned char* end) {
    const auto bytes = static_cast<size_t>(end - begin);
    const auto address = reinterpret_cast<uintptr_t>(begin);
    if (shadow.begin() != address || !shadow.contains(address, bytes) || shadow.contains(address, bytes + 1)) {  // a larger one would hide an overrun
      shadow = ShadowMemory(begin, bytes);
    } else {
      shadow.forget_contents();
    }
  };
  fit(own.shared_static, block.shared.static_begin, block.shared.static_end);
  fit(own.shared_dynamic, block.shared.dynamic_begin, block.shared.dynamic_end);
  if (own.launch_id == block.launch_id) return;
  own.launch_id = block.launch_id;
  own.reported.clear();
  if (const uint64_t era = block.launch_id / Stamp::kLaunches; own.memory->era != era) {
    own.memory->era = era;
    for (auto& [begin, shadow] : own.memory->allocations) shadow.forget_accesses();
  }
}

/// At the first access after a barrier of the block: what has been done so far has a smaller clock than its lane has now.
void RaceChecker::begin_epoch(BlockState& block) {
  block.epoch = current_block->epoch;
  for (size_t i = 0; i < block.epoch_clocks.size(); ++i) {
    const Lane& lane = lane_of(static_cast<int>(i));
    block.epoch_clocks[i] = lane.clock + (lane.state == LaneState::kDone);  // a lane that has ended does nothing more
  }
}

void RaceChecker::on_sync(Lane* const* lanes, int count) {
  const bool one_warp = std::all_of(lanes, lanes + count, [&](const Lane* lane) { return lane->warp == lanes[0]->warp; });
  if (one_warp) return;  // Lane::seen has it
  BlockState& block = state();
  const size_t num_lanes = block.epoch_clocks.size();
  if (block.seen.empty()) block.seen.assign(num_lanes, std::vector<uint32_t>(num_lanes, 0));
  std::vector<uint32_t> joined(num_lanes, 0);
  for (int k = 0; k < count; ++k) {
    const std::vector<uint32_t>& known = block.seen[static_cast<size_t>(lanes[k]->id)];
    for (size_t i = 0; i < num_lanes; ++i) joined[i] = std::max(joined[i], known[i]);
    joined[static_cast<size_t>(lanes[k]->id)] = lanes[k]->clock;
  }
  for (int k = 0; k < count; ++k) block.seen[static_cast<size_t>(lanes[k]->id)] = joined;
}

void RaceChecker::on_host_range(Device& device, const void* address, size_t bytes, RangeEvent event) {
  DeviceMemory& memory = memory_of(device);
  const auto begin = reinterpret_cast<uintptr_t>(address);
  if (event == RangeEvent::kAllocated) {
    memory.allocations.insert_or_assign(begin, ShadowMemory(address, bytes));
    return;
  }
  auto found = memory.allocations.upper_bound(begin);
  if (found == memory.allocations.begin()) return;
  --found;
  if (!found->second.contains(begin, bytes)) return;  // pinned memory, or another device's
  if (event == RangeEvent::kFreed) {
    memory.allocations.erase(found);
  } else {
    found->second.define(begin, bytes, true);
  }
}

void RaceChecker::on_async_copy(const void* shared, int bytes, bool pending) {
  BlockState& block = state();
  const auto address = reinterpret_cast<uintptr_t>(shared);
  for (ShadowMemory* shadow : {&block.shared_static, &block.shared_dynamic}) {
    if (shadow->contains(address, static_cast<size_t>(bytes))) shadow->set_pending(address, static_cast<size_t>(bytes), pending);
  }
}

void RaceChecker::on_access(const Access& access) {
  const auto address = reinterpret_cast<uintptr_t>(access.address);
  BlockState& block = state();
  if (block.epoch != current_block->epoch) begin_epoch(block);
  const auto bytes = static_cast<size_t>(access.bytes);
  for (ShadowMemory* shadow : {&block.shared_dynamic, &block.shared_static}) {
    if (shadow->contains(address, bytes)) return check_cells(block, *shadow, block.shared_scope, access);
  }
  if (ShadowMemory* shadow = find(block, access)) return check_cells(block, *shadow, block.device_scope, access);
  check_elsewhere(block, access);
}

/// The live allocation of this device that holds all of the access, or null.
ShadowMemory* RaceChecker::find(BlockState& block, const Access& access) {
  const auto address = reinterpret_cast<uintptr_t>(access.address);
  const auto bytes = static_cast<size_t>(access.bytes);
  ShadowMemory*& recent = block.recent[address / kPageBytes % block.recent.size()];
  if (recent != nullptr && recent->contains(address, bytes)) return recent;
  auto found = block.memory->allocations.upper_bound(address);
  if (found == block.memory->allocations.begin()) return nullptr;
  --found;
  if (!found->second.contains(address, bytes)) return nullptr;
  return recent = &found->second;
}

void RaceChecker::check_elsewhere(BlockState& block, const Access& access) {
  const auto* p = static_cast<const unsigned char*>(access.address);
  const auto bytes = static_cast<size_t>(access.bytes);
  const auto inside = [&](const unsigned char* begin, size_t size) { return p >= begin && p + bytes <= begin + size; };
  if (inside(current_lane->stack, kStackBytes)) return;
  const std::vector<unsigned char>& params = current_block->kernel->params;
  if (!access.write && inside(params.data(), params.size())) return;
  const AllocationInfo info = find_allocation(access.address, bytes);
  switch (info.kind) {
    case MemoryKind::kPinned:
      if (info.number == 0 && !settings().host_pointers) return stray(block, "registered host memory at an address that is the host's only", access);
      return;
    case MemoryKind::kDevice: return;  // another device's: order between devices is that of streams
    case MemoryKind::kFreed: return stray(block, "use after free", access);
    case MemoryKind::kPastEnd: return stray(block, "access past the end of an allocation", access);
    case MemoryKind::kUnknown: break;
  }
  const SharedMemory& shared = current_block->shared;
  constexpr ptrdiff_t kNear = 4096;
  for (const auto& [begin, end] : {std::pair(shared.static_begin, shared.static_end), std::pair(shared.dynamic_begin, shared.dynamic_end)}) {
    if (p >= begin - kNear && p < end + kNear) return stray(block, "access outside the shared memory of the block", access);
  }
  const std::vector<Lane>& lanes = *current_block->lanes;
  if (std::any_of(lanes.begin(), lanes.end(), [&](const Lane& lane) { return inside(lane.stack, kStackBytes); })) {
    return stray(block, "access to another thread's local memory", access);
  }
  if (!access.write && (is_read_only(access.address, bytes) || ptx::owns_variable(access.address, bytes))) return;
  stray(block, "ordinary host memory used by a kernel", access);
}

void RaceChecker::check_cells(BlockState& block, ShadowMemory& shadow, uint64_t scope, const Access& access) {
  const auto address = reinterpret_cast<uintptr_t>(access.address);
  const auto bytes = static_cast<uintptr_t>(access.bytes);
  if (!access.any_alignment && (bytes & (bytes - 1)) == 0 && bytes <= 16 && address % bytes != 0) finding(block, "misaligned access", access);
  const uintptr_t end = address + static_cast<uintptr_t>(access.bytes);
  for (uintptr_t at = address; at < end;) {
    const uintptr_t offset = at - shadow.begin();
    const unsigned from = static_cast<unsigned>(offset % ShadowMemory::kGranule);
    const int count = static_cast<int>(std::min<uintptr_t>(ShadowMemory::kGranule - from, end - at));
    const Stamp now(scope, current_lane->id, current_lane->clock, access.atomic, all_of(count, from));
    check_cell(block, shadow.cell(offset / ShadowMemory::kGranule), now, scope, access);
    at += static_cast<uintptr_t>(count);
  }
}

void RaceChecker::check_cell(BlockState& block, ShadowMemory::Cell cell, Stamp now, uint64_t scope, const Access& access) {
  const bool shared = scope == block.shared_scope;
  const auto races = [&](Stamp earlier) {
    return (earlier.bytes() & now.bytes()) != 0 && !is_old(earlier, scope, shared) && !(earlier.atomic() && now.atomic()) && !is_ordered(block, earlier, scope);
  };
  if (!access.write || access.atomic) check_contents(block, cell, now.bytes(), access);
  if (const Stamp write(cell.write); races(write)) {
    race(block, access.write ? "race: write after write" : "race: read after write", access, write, "write", cell.write_site);
  }
  if (!access.write) return note_read(block, cell, now, scope, site_bits(access));
  for (int k = 0; k < 2; ++k) {
    if (const Stamp read(cell.reads[k]); races(read)) race(block, "race: write after read", access, read, "read", cell.read_sites[k]);
  }
  const Stamp before(cell.write);
  cell.write = before.same_moment(now) ? before.with(now.bytes()).bits() : now.bits();
  cell.write_site = site_bits(access);
  cell.state |= now.bytes();  // of a cp.async too: until it lands, its target is marked as such
}

void RaceChecker::check_contents(BlockState& block, ShadowMemory::Cell& cell, uint8_t bytes, const Access& access) {
  if (cell.state >> 4 & bytes) {
    cell.state &= 0x0F;
    finding(block, "async copy not waited for: read of its target", access);
  } else if ((cell.state & bytes) != bytes) {
    cell.state |= bytes;
    finding(block, "uninitialised read", access);
  }
}

/// Of another launch, or of a block that has gone from this shared memory.
bool RaceChecker::is_old(Stamp earlier, uint64_t scope, bool shared) {
  return shared ? earlier.scope() != scope : earlier.scope() >> Stamp::kBlockBits != scope >> Stamp::kBlockBits;
}

/// Whether an access of this launch is ordered before what the current lane does now.
bool RaceChecker::is_ordered(const BlockState& block, Stamp earlier, uint64_t scope) {
  if (earlier.scope() != scope) return false;  // another block
  const int id = earlier.lane();
  if (id == current_lane->id) return true;
  const Lane& other = lane_of(id);
  const uint32_t clock = full_clock(other.clock, earlier.clock15());
  if (clock < block.epoch_clocks[static_cast<size_t>(id)]) return true;
  if (other.warp == current_lane->warp && current_lane->seen[other.index] > clock) return true;
  return !block.seen.empty() && block.seen[static_cast<size_t>(current_lane->id)][static_cast<size_t>(id)] > clock;
}

/// Two reads are kept that no later one stands for; of more, such as differ in block or else in warp, so that a write that races with any read races with one of these.
void RaceChecker::note_read(BlockState& block, ShadowMemory::Cell& cell, Stamp now, uint64_t scope, uint32_t site) {
  const bool shared = scope == block.shared_scope;
  const auto replaceable = [&](Stamp earlier) {
    return earlier.bytes() == 0 || is_old(earlier, scope, shared) || ((earlier.bytes() & ~now.bytes()) == 0 && earlier.atomic() == now.atomic() && is_ordered(block, earlier, scope));
  };
  int slot = -1;
  for (int k = 0; k < 2 && slot < 0; ++k) {
    if (replaceable(Stamp(cell.reads[k]))) slot = k;
  }
  if (slot < 0) {
    const Stamp first(cell.reads[0]), second(cell.reads[1]);
    const bool same_block = first.scope() == second.scope();
    const bool other_block = same_block && now.scope() != first.scope();
    const bool same_warp = same_block && first.lane() / kWarpLanes == second.lane() / kWarpLanes;
    if (other_block || (same_warp && now.lane() / kWarpLanes != first.lane() / kWarpLanes)) slot = 1;
  }
  if (slot < 0) return;
  cell.reads[slot] = now.bits();
  cell.read_sites[slot] = site;
}

void RaceChecker::finding(BlockState& block, const char* kind, const Access& access) {
  if (block.reported.size() >= kMaxFindings || !block.reported.insert({kind, {site_bits(access), 0}}).second) return;
  report(fmt::format("{}: {} of {} bytes at {}, {}", kind, access.write ? "write" : "read", access.bytes, describe_place(access.address), describe_site(access)));
}

/// The access itself would only hit what is not the kernel's, so the kernel ends here.
void RaceChecker::stray(BlockState& block, const char* kind, const Access& access) {
  finding(block, kind, access);
  Scheduler::of_this_thread().abandon();
}

void RaceChecker::race(BlockState& block, const char* kind, const Access& access, Stamp earlier, const char* earlier_kind, uint32_t earlier_site) {
  if (block.reported.size() >= kMaxFindings || !block.reported.insert({kind, {site_bits(access), earlier_site}}).second) return;
  const uint64_t other_block = earlier.scope() & ((1u << Stamp::kBlockBits) - 1);
  const bool same_block = earlier.scope() == block.shared_scope || earlier.scope() == block.device_scope;
  report(fmt::format("{}: {} bytes at {}, {}; against a{} {} by thread {} of {}, {}", kind, access.bytes, describe_place(access.address), describe_site(access),
                     earlier.atomic() ? "n atomic" : "", earlier_kind, earlier.lane(), same_block ? "the same block" : fmt::format("block {}", other_block),
                     describe_site(earlier_site)));
}

}  // namespace cudasim
