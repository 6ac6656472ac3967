// Loads and stores with an order of their own at system scope, by which kernels of several devices talk while they run; and waiting in a loop for one, which lets whoever is waited for go on.
#include <fmt/format.h>

#include <atomic>
#include <chrono>
#include <cstring>
#include <thread>

#include "tests/cudasim/device_state.h"
#include "tests/cudasim/nccl/meeting.h"
#include "tests/cudasim/peer_memory.h"
#include "tests/cudasim/scheduler.h"

namespace cudasim {
namespace {

void note_strong(const void* address, int bytes, bool write, const char* instruction) {
  Access access{address, bytes};
  access.write = write, access.atomic = true;
  access.pc = instruction == nullptr ? __builtin_return_address(0) : nullptr;
  access.instruction = instruction;
  note_access(access);
}

/// The lane loads what it has just loaded: it waits for another to change it.
void wait_a_little(Lane& lane, const void* address, CallSite site) {
  using Clock = std::chrono::steady_clock;
  const auto now = Clock::now().time_since_epoch();
  if (lane.spins++ == 0) lane.spinning_since = now;
  if (now - lane.spinning_since > std::chrono::seconds(Meeting::timeout_seconds())) {
    lane_trap(fmt::format("no other device has changed {} within {} s", describe_address(address), Meeting::timeout_seconds()).c_str(), site);
  }
  Scheduler::running().let_others_go_on(lane.spins);
}

}  // namespace

uint64_t load_system(const void* address, int bytes, bool acquire, CallSite site, const char* instruction) {
  note_strong(address, bytes, false, instruction);
  void* place = PeerMemory::get().home_of(address);
  const uint64_t value = bytes == 8 ? std::atomic_ref(*static_cast<uint64_t*>(place)).load() : std::atomic_ref(*static_cast<uint32_t*>(place)).load();
  if (acquire) PeerMemory::get().acquire();
  Lane& lane = *current_lane;
  if (lane.loaded_from == address && lane.loaded == value) {
    wait_a_little(lane, address, site);
  } else {
    lane.loaded_from = address, lane.loaded = value, lane.spins = 0;
  }
  return value;
}

void store_system(void* address, uint64_t value, int bytes, bool release, const char* instruction) {
  note_strong(address, bytes, true, instruction);
  if (release) PeerMemory::get().release();
  void* place = PeerMemory::get().home_of(address);
  if (bytes == 8) std::atomic_ref(*static_cast<uint64_t*>(place)).store(value);
  else std::atomic_ref(*static_cast<uint32_t*>(place)).store(static_cast<uint32_t>(value));
  if (place != address) std::memcpy(address, &value, static_cast<size_t>(bytes));
}

}  // namespace cudasim
