#include <alloca.h>

#include <fmt/core.h>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/instruction.h"

namespace cudasim::ptx {

namespace {

void fill_fixed_slots(uint64_t* slots, const Frame& frame, const unsigned char* params) {
  const uint3 thread = thread_index(), block = block_index();
  const dim3 size = block_size(), grid = grid_size();
  const SharedMemory& shared = current_block->shared;
  const uint32_t coordinates[] = {thread.x, thread.y, thread.z, block.x, block.y, block.z, size.x, size.y, size.z, grid.x, grid.y, grid.z};
  for (size_t k = 0; k < std::size(coordinates); ++k) slots[kThread + k] = coordinates[k];
  slots[kTrue] = 1;
  slots[kZero] = 0;
  slots[kParams] = reinterpret_cast<uint64_t>(params);
  slots[kLocals] = reinterpret_cast<uint64_t>(frame.locals_begin);
  slots[kDynamic] = static_cast<uint64_t>(shared.dynamic_begin - shared.static_begin);
  slots[kLaneIndex] = static_cast<uint64_t>(current_lane->index);
  slots[kWarpIndex] = static_cast<uint64_t>(current_lane->warp);
  slots[kWarps] = static_cast<uint64_t>((current_block->num_lanes + kWarpLanes - 1) / kWarpLanes);
  slots[kDynamicBytes] = static_cast<uint64_t>(shared.dynamic_end - shared.dynamic_begin);
}

void run(Frame& frame) {
  uint64_t executed = 0;
  while (frame.next != nullptr) {
    const Instruction& i = *frame.next++;
    ++executed;
    if ((frame.slots[i.guard] & 1) == i.guard_negated) continue;
    i.execute(i, frame);
  }
  frame.executed += executed;
}

}  // namespace

uint64_t run_lane(const Program& program, const unsigned char* params) {
  Frame frame;
  frame.program = &program;
  frame.next = program.code.data();
  frame.shared = current_block->shared.static_begin;
  frame.slots = static_cast<uint64_t*>(alloca(program.initial.size() * sizeof(uint64_t)));
  // 0xEE: a local variable that is read before it is written shows
  frame.locals_begin = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(alloca(program.local_bytes + 16)) + 15) / 16 * 16);
  frame.locals_end = frame.locals_begin + program.local_bytes;
  std::memset(frame.locals_begin, 0xEE, program.local_bytes);
  std::memcpy(frame.slots, program.initial.data(), program.initial.size() * sizeof(uint64_t));
  fill_fixed_slots(frame.slots, frame, params);
  run(frame);
  return frame.executed;
}

void run_call(const Call& call, Frame& caller) {
  const Program& program = *call.callee;
  Frame frame;
  frame.program = &program;
  frame.next = program.code.data();
  frame.shared = caller.shared;
  frame.slots = static_cast<uint64_t*>(alloca(program.initial.size() * sizeof(uint64_t)));
  unsigned char* params = static_cast<unsigned char*>(alloca(program.param_bytes + 16));
  frame.locals_begin = reinterpret_cast<unsigned char*>((reinterpret_cast<uintptr_t>(alloca(program.local_bytes + 16)) + 15) / 16 * 16);
  frame.locals_end = caller.locals_end;  // stacks grow down: the callers' frames lie between, and pointers into them are passed
  std::memset(frame.locals_begin, 0xEE, program.local_bytes);
  std::memcpy(frame.slots, program.initial.data(), program.initial.size() * sizeof(uint64_t));
  fill_fixed_slots(frame.slots, frame, params);
  unsigned char* const caller_locals = reinterpret_cast<unsigned char*>(caller.slots[kLocals]);
  for (const Call::Copy& copy : call.params) std::memcpy(params + copy.to, caller_locals + copy.from, copy.bytes);
  run(frame);
  for (const Call::Copy& copy : call.results) std::memcpy(caller_locals + copy.to, frame.locals_begin + copy.from, copy.bytes);
  caller.executed += frame.executed;
}

}  // namespace cudasim::ptx
