// What is known of each four bytes of a piece of memory: which bytes are defined, which are the target of a cp.async under way, the last write and two reads.
// Owned by the RaceChecker, one for an allocation or a block's shared memory. Pages that nobody touches cost nothing.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cudasim {

class ShadowMemory {
 public:
  static constexpr size_t kGranule = 4;

  ShadowMemory() = default;
  /// Of `bytes` bytes from `begin` on, whose alignment is 4 at least. `defined`: nothing there counts as uninitialised.
  ShadowMemory(const void* begin, size_t bytes);
  ~ShadowMemory();
  ShadowMemory(ShadowMemory&& other) noexcept { *this = static_cast<ShadowMemory&&>(other); }
  ShadowMemory& operator=(ShadowMemory&& other) noexcept;

  struct Cell {
    uint64_t& write;
    uint64_t (&reads)[2];
    uint32_t& write_site;
    uint32_t (&read_sites)[2];
    uint8_t& state;  // bits 0-3: byte is defined; bits 4-7: byte is the target of a copy under way
  };
  Cell cell(size_t granule) {
    return {writes_[granule], reads_[granule].stamps, write_sites_[granule], read_sites_[granule].sites, states_[granule]};
  }
  bool contains(uintptr_t address, size_t bytes) const { return address >= begin_ && address + bytes <= end_; }
  uintptr_t begin() const { return begin_; }
  size_t granules() const { return granules_; }

  void define(uintptr_t address, size_t bytes, bool defined);
  void set_pending(uintptr_t address, size_t bytes, bool pending);
  /// All bytes undefined, nothing pending. Stamps stay: their scope tells that they are old.
  void forget_contents();
  /// No accesses: when numbers of launches come round.
  void forget_accesses();

 private:
  template <typename Change>
  void each(uintptr_t address, size_t bytes, Change change);

  struct Reads {
    uint64_t stamps[2];
  };
  struct ReadSites {
    uint32_t sites[2];
  };
  uintptr_t begin_ = 0, end_ = 0;
  size_t granules_ = 0;
  uint64_t* writes_ = nullptr;  // each array is of its own mapping
  Reads* reads_ = nullptr;
  uint32_t* write_sites_ = nullptr;
  ReadSites* read_sites_ = nullptr;
  uint8_t* states_ = nullptr;
};

}  // namespace cudasim
