// The checker of kernels: races inside a launch, uninitialised reads, accesses outside live memory, misalignment, reads of a cp.async target before its wait.
// Installed when the module is loaded. State is per device (guarded by the device's lock, which is held while its operations run) and per running block (the thread's).
//
// What orders two accesses of a block: a barrier of the block, __syncwarp in a warp, a barrier of some warps. Blocks of a launch are not ordered, an atomic access is ordered only with
// atomic ones; __threadfence orders nothing, so a protocol between blocks is seen as a race.
#pragma once

#include <array>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "tests/cudasim/checker/shadow_memory.h"
#include "tests/cudasim/checker/stamp.h"
#include "tests/cudasim/core.h"

namespace cudasim {

class RaceChecker : public Checker {
 public:
  void on_block_begin(Block& block) override;
  void on_access(const Access& access) override;
  void on_async_copy(const void* shared, int bytes, bool pending) override;
  void on_sync(Lane* const* lanes, int count) override;
  void on_host_range(Device& device, const void* address, size_t bytes, RangeEvent event) override;

 private:
  struct DeviceMemory {
    std::map<uintptr_t, ShadowMemory> allocations;  // by address
    uint64_t era = 0;                               // launches come round modulo Stamp::kLaunches: accesses of earlier eras are forgotten
  };

  /// The block that runs on this thread, as the checker sees it.
  struct BlockState {
    DeviceMemory* memory = nullptr;
    std::array<ShadowMemory*, 64> recent{};  // allocations of the last accesses, by page of the address
    ShadowMemory shared_static, shared_dynamic;
    uint64_t device_scope = 0, shared_scope = 0;
    uint32_t epoch = 0;
    std::vector<uint32_t> epoch_clocks;           // by lane: what it did before this clock, all lanes of the block have seen
    std::vector<std::vector<uint32_t>> seen;      // [lane][lane], by barriers of some warps; empty until there is one
    uint64_t launch_id = 0;
    std::set<std::pair<std::string, std::pair<uint32_t, uint32_t>>> reported;  // of this launch: kind, both sites
  };

  static BlockState& state();
  DeviceMemory& memory_of(Device& device);
  void begin_epoch(BlockState& block);

  void check_shared(BlockState& block, ShadowMemory& shadow, const Access& access);
  void check_cells(BlockState& block, ShadowMemory& shadow, uint64_t scope, const Access& access);
  void check_cell(BlockState& block, ShadowMemory::Cell cell, Stamp now, uint64_t scope, const Access& access);
  void check_contents(BlockState& block, ShadowMemory::Cell& cell, uint8_t bytes, const Access& access);
  void check_elsewhere(BlockState& block, const Access& access);
  ShadowMemory* find(BlockState& block, const Access& access);

  static bool is_old(Stamp earlier, uint64_t scope, bool shared);
  static bool is_ordered(const BlockState& block, Stamp earlier, uint64_t scope);
  void note_read(BlockState& block, ShadowMemory::Cell& cell, Stamp now, uint64_t scope, uint32_t site);
  void finding(BlockState& block, const char* kind, const Access& access);
  [[noreturn]] void stray(BlockState& block, const char* kind, const Access& access);
  void race(BlockState& block, const char* kind, const Access& access, Stamp earlier, const char* earlier_kind, uint32_t earlier_site);

  std::mutex mutex_;
  std::map<Device*, std::unique_ptr<DeviceMemory>> devices_;
};

}  // namespace cudasim
