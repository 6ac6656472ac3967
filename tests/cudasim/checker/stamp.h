// Who accessed four bytes of memory, and when: 64 bits. A value; see ShadowMemory for where it lies.
#pragma once

#include <cstdint>

namespace cudasim {

/// 34 bits scope | 10 lane | 15 clock | 1 atomic | 4 bytes touched. The scope is the launch and block for device memory, the block alone for shared memory; no bytes: no access.
class Stamp {
 public:
  static constexpr int kBlockBits = 20;

  Stamp() = default;
  explicit Stamp(uint64_t bits) : bits_(bits) {}
  Stamp(uint64_t scope, int lane, uint32_t clock, bool atomic, uint8_t bytes)
      : bits_(scope << 30 | static_cast<uint64_t>(lane) << 20 | static_cast<uint64_t>(clock & 0x7FFF) << 5 | static_cast<uint64_t>(atomic) << 4 | bytes) {}

  uint64_t bits() const { return bits_; }
  uint64_t scope() const { return bits_ >> 30; }
  int lane() const { return static_cast<int>(bits_ >> 20 & 1023); }
  uint32_t clock15() const { return static_cast<uint32_t>(bits_ >> 5 & 0x7FFF); }
  bool atomic() const { return bits_ >> 4 & 1; }
  uint8_t bytes() const { return bits_ & 15; }
  bool same_moment(Stamp other) const { return bits_ >> 4 == other.bits_ >> 4; }
  Stamp with(uint8_t more_bytes) const { return Stamp(bits_ | more_bytes); }

  /// Of a launch in device memory: launches are told apart modulo 16383, blocks modulo 2^20.
  static uint64_t launch_scope(uint64_t launch_id, uint32_t block) { return launch_of(launch_id) << kBlockBits | (block & ((1u << kBlockBits) - 1)); }
  static uint64_t launch_of(uint64_t launch_id) { return 1 + launch_id % kLaunches; }
  static constexpr uint64_t kLaunches = (1u << 14) - 1;
  static uint64_t block_scope(uint64_t block_id) { return block_id & ((uint64_t{1} << 34) - 1); }

 private:
  uint64_t bits_ = 0;
};

}  // namespace cudasim
