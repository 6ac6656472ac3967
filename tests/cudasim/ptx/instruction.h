// The interpreter's machine: decoded instructions, and the slots that they work on. Made by the decoder; run by one lane at a time on the thread that runs its kernel.
// Everything an instruction reads is a slot: registers, constants, special registers and base addresses alike, so that an operand costs one load.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

namespace cudasim::ptx {

struct Frame;
struct Instruction;
struct Program;
using Execute = void (*)(const Instruction&, Frame&);

constexpr int kMaxSlots = 14;  // of an instruction: mma has 4 + 4 + 2 + 4

struct Instruction {
  Execute execute = nullptr;
  int64_t immediate = 0;   // offset of an address, target of a branch, modes: as its execute() says
  const char* text = "";   // "file.ptx:120 (kernel.cu:33): ld.shared.f32", for messages and the checker; kept for ever
  uint32_t line = 0;       // in the .ptx
  uint16_t guard = 0;      // runs if the lowest bit of this slot is not `guard_negated`
  uint16_t slot[kMaxSlots] = {};
  uint8_t guard_negated = 0;
  uint8_t count = 0;       // of vector elements, or as execute() says
};

/// Slots that every function has, before its constants and registers.
enum FixedSlot : uint16_t {
  kTrue,        // 1
  kZero,        // 0
  kParams,      // address of the function's parameters
  kLocals,      // address of its frame in local memory
  kDynamic,     // shared address of the dynamic shared memory
  kThread,      // x, y, z
  kBlock = kThread + 3,
  kBlockSize = kBlock + 3,
  kGridSize = kBlockSize + 3,
  kLaneIndex = kGridSize + 3,
  kWarpIndex,
  kWarps,
  kDynamicBytes,
  kFixedSlots,
};

/// One call of a function by one lane.
struct Frame {
  uint64_t* slots = nullptr;
  const Instruction* next = nullptr;  // null: returned
  unsigned char* shared = nullptr;    // where shared address 0 lies
  unsigned char* locals_begin = nullptr;  // local memory of the lane: all that its calls have taken so far
  unsigned char* locals_end = nullptr;
  const Program* program = nullptr;
  uint64_t executed = 0;
  bool carry = false;                 // of add.cc and the like

  template <typename T>
  T get(uint16_t slot) const {
    T value;
    std::memcpy(&value, &slots[slot], sizeof value);
    return value;
  }
  template <typename T>
  void set(uint16_t slot, T value) {
    uint64_t bits = 0;
    std::memcpy(&bits, &value, sizeof value);
    slots[slot] = bits;
  }
};

/// Where a call's arguments and results lie: in the caller's frame of local memory, in the callee's parameters, in the callee's frame.
struct Call {
  struct Copy {
    uint64_t from, to, bytes;
  };
  const Program* callee = nullptr;
  std::vector<Copy> params, results;
};

/// A function, decoded.
struct Program {
  std::string name;
  std::vector<Instruction> code;
  std::vector<uint64_t> initial;  // slots at a call: constants set, registers poisoned
  std::vector<std::vector<int64_t>> branch_tables;  // of brx.idx: targets
  std::vector<Call> calls;
  uint64_t param_bytes = 0, local_bytes = 0, shared_bytes = 0;
  int max_threads = 0;
  std::vector<std::string> unknown;  // statements that end the process when they are reached
};

/// Runs a kernel's program as the current lane; how many instructions it took.
uint64_t run_lane(const Program& program, const unsigned char* params);

/// Runs a function that `caller` calls.
void run_call(const Call& call, Frame& caller);

}  // namespace cudasim::ptx
