// cp.async: copies that land late, so that a wait that is missing shows.
#include <cstring>

#include "tests/cudasim/scheduler.h"

namespace cudasim {
namespace {

void note(const void* address, int bytes, bool write) {
  Access access{address, bytes};
  access.write = write, access.async = true;
  note_access(access);
}

void land(const AsyncCopy& copy) {
  std::memcpy(copy.shared, copy.global, static_cast<size_t>(copy.valid_bytes));
  std::memset(static_cast<unsigned char*>(copy.shared) + copy.valid_bytes, 0, static_cast<size_t>(copy.bytes - copy.valid_bytes));
  if (checker() != nullptr) checker()->on_async_copy(copy.shared, copy.bytes, false);
  note(copy.shared, copy.bytes, true);
}

// Lands what belongs to the groups before `end`.
void land_groups(int end) {
  std::vector<AsyncCopy>& copies = current_lane->copies;
  size_t kept = 0;
  for (const AsyncCopy& copy : copies) {
    if (copy.group < end) land(copy);
    else copies[kept++] = copy;
  }
  copies.resize(kept);
}

bool lands_at_once() {
  if (settings().cp_async == Settings::CpAsync::kRandom) return Scheduler::running().random().next() & 1;
  return settings().cp_async == Settings::CpAsync::kAtOnce;
}

}  // namespace

void cp_async(void* shared, const void* global, int bytes, int valid_bytes) {
  const CallSite site{"cp.async", 0};
  const auto misaligned = [&](const void* p) { return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(bytes) != 0; };
  if (bytes != 4 && bytes != 8 && bytes != 16) lane_trap("cp.async of other than 4, 8 or 16 bytes", site);
  if (valid_bytes < 0 || valid_bytes > bytes) lane_trap("cp.async with more valid bytes than bytes", site);
  if (misaligned(shared) || misaligned(global)) lane_trap("cp.async: an address is not aligned to the size", site);
  if (!in_shared_memory(shared, static_cast<size_t>(bytes))) lane_trap("cp.async: the destination is not in shared memory", site);
  if (valid_bytes > 0) {
    const MemoryKind kind = find_allocation(global, static_cast<size_t>(valid_bytes)).kind;
    if (kind != MemoryKind::kDevice && kind != MemoryKind::kPinned) lane_trap(("cp.async: the source is " + describe_address(global)).c_str(), site);
    note(global, valid_bytes, false);
  }
  note(shared, bytes, true);
  const AsyncCopy copy{shared, global, bytes, valid_bytes, current_lane->groups};
  if (lands_at_once()) return land(copy);
  if (checker() != nullptr) checker()->on_async_copy(shared, bytes, true);
  current_lane->copies.push_back(copy);
}

void cp_async_commit() { ++current_lane->groups; }
void cp_async_wait(int pending) { land_groups(current_lane->groups - pending); }
void cp_async_wait_all() { land_groups(current_lane->groups + 1); }

}  // namespace cudasim
