// Where an address operand points, and telling the checker. Included by ops_*.cpp alone.
#pragma once

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

/// Takes the state space, ordering and caching modifiers of ld, st, atom and red.
struct MemoryModifiers {
  Space space = Space::kGeneric;
  bool atomic = false;  // .volatile, .relaxed, .acquire, .release ...: meant for data that others write meanwhile
  bool system = false;  // ... other devices, too
  bool ordered = false; // .acquire, .release
};
MemoryModifiers take_memory_modifiers(Opcode& opcode);

/// Shared addresses are 32-bit offsets in the block's window, all others are addresses of this process.
template <bool kIsShared>
unsigned char* memory_at(const Frame& f, uint16_t slot, int64_t offset) {
  const uint64_t address = f.slots[slot] + static_cast<uint64_t>(offset);
  return kIsShared ? f.shared + static_cast<uint32_t>(address) : reinterpret_cast<unsigned char*>(address);
}

inline void tell_checker(const Instruction& i, const void* address, int bytes, bool write, bool atomic) {
  Access access{.address = address, .bytes = bytes};
  access.write = write;
  access.atomic = atomic;
  access.instruction = i.text;
  note_access(access);
}

}  // namespace cudasim::ptx
