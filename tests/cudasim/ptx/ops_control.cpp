// Branches, calls, ends and barriers.
#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

CallSite site_of(const Instruction& i, const Frame& f) { return {f.program->name.c_str(), static_cast<int>(i.line)}; }

void branch(const Instruction& i, Frame& f) { f.next = f.program->code.data() + i.immediate; }

void branch_by_index(const Instruction& i, Frame& f) {
  const auto& targets = f.program->branch_tables[static_cast<size_t>(i.immediate)];
  const uint32_t index = f.get<uint32_t>(i.slot[0]);
  if (index >= targets.size()) lane_trap("brx.idx beyond its list of targets", site_of(i, f));
  f.next = f.program->code.data() + targets[index];
}

void leave(const Instruction&, Frame& f) { f.next = nullptr; }

void trap(const Instruction& i, Frame& f) { lane_trap("trap", site_of(i, f)); }

void call(const Instruction& i, Frame& f) { run_call(f.program->calls[static_cast<size_t>(i.immediate)], f); }

void wait_at_barrier(const Instruction& i, Frame& f) {
  barrier(static_cast<int>(f.get<uint32_t>(i.slot[0])), static_cast<int>(f.get<uint32_t>(i.slot[1])), site_of(i, f));
}

/// bar.red of the whole block. A sum belongs to an epoch: it is used again two barriers later, when every lane has read it.
struct BarrierSum {
  uint64_t block_id = 0;
  uint32_t epoch = 0;
  uint32_t ones = 0, lanes = 0;
};
thread_local constinit BarrierSum barrier_sums[2];

void reduce_at_barrier(const Instruction& i, Frame& f) {  // slots: result, barrier, predicate; immediate: popc, and, or
  const uint32_t epoch = current_block->epoch;
  BarrierSum& sum = barrier_sums[epoch & 1];
  if (sum.block_id != current_block->block_id || sum.epoch != epoch) sum = {current_block->block_id, epoch, 0, 0};
  sum.ones += f.slots[i.slot[2]] & 1;
  ++sum.lanes;
  barrier(static_cast<int>(f.get<uint32_t>(i.slot[1])), 0, site_of(i, f));
  const uint32_t results[] = {sum.ones, sum.ones == sum.lanes, sum.ones != 0};
  f.set(i.slot[0], results[i.immediate]);
}

void synchronize_warp(const Instruction& i, Frame& f) {
  warp_collective(WarpOp::kSync, f.get<uint32_t>(i.slot[0]), nullptr, 0, nullptr, 0, 0, 32, site_of(i, f));
}

void decode_branch(Decoder& d) {
  d.opcode.take("uni");
  d.emit(branch, {});
  d.branch_to(d.operand(0).name);
}

void decode_indexed_branch(Decoder& d) {
  d.opcode.take("uni");
  if (!d.opcode.take("idx")) d.fail("only brx.idx");
  const uint16_t index = d.source(size_t{0});
  d.emit(branch_by_index, {index}).immediate = static_cast<int64_t>(d.branch_table(d.operand(1).name));
}

std::vector<Call::Copy> copies(Decoder& d, std::span<const Operand> own, const std::vector<std::unique_ptr<Variable>>& theirs, bool into_callee) {
  if (own.size() != theirs.size()) d.fail("another number of parameters than the function has");
  std::vector<Call::Copy> result;
  for (size_t k = 0; k < own.size(); ++k) {
    if (own[k].variable == nullptr) d.fail("a parameter that is no .param variable");
    const uint64_t here = own[k].variable->offset, there = theirs[k]->offset;
    result.push_back({into_callee ? here : there, into_callee ? there : here, std::min(own[k].variable->bytes, theirs[k]->bytes)});
  }
  return result;
}

/// call[.uni] [(results),] name[, (parameters)]
void decode_call(Decoder& d) {
  d.opcode.take("uni");
  size_t next = 0;
  const std::span<const Operand> results = d.operand(0).kind == Operand::Kind::kList ? elements(d.operand(next++)) : std::span<const Operand>();
  const std::string_view name = d.operand(next++).name;
  const std::span<const Operand> params = next < d.num_operands() ? elements(d.operand(next)) : std::span<const Operand>();
  const auto [program, function] = d.find_function(name);
  if (program == nullptr) d.fail("calls a function that has no body here");
  d.program().calls.push_back({program, copies(d, params, function->params, true), copies(d, results, function->results, false)});
  d.emit(call, {}).immediate = static_cast<int64_t>(d.program().calls.size() - 1);
}

void decode_barrier(Decoder& d) {
  if (d.opcode.take("warp")) {
    if (!d.opcode.take("sync")) d.fail("only bar.warp.sync");
    return static_cast<void>(d.emit(synchronize_warp, {d.source(size_t{0})}));
  }
  d.opcode.take("cta");
  d.opcode.take("aligned");
  if (d.opcode.take("sync")) {
    const uint16_t count = d.num_operands() > 1 ? d.source(1) : uint16_t{kZero};
    return static_cast<void>(d.emit(wait_at_barrier, {d.source(size_t{0}), count}));
  }
  if (!d.opcode.take("red") || d.num_operands() != 3) d.fail("only bar.sync, and bar.red of the whole block");
  const int operation = d.opcode.take_one_of({"popc", "and", "or"});
  d.type();
  const uint16_t barrier_slot = d.source(1), predicate = d.source(2);
  d.emit(reduce_at_barrier, {d.destination(size_t{0}), barrier_slot, predicate}).immediate = operation;
}

}  // namespace

void add_control_ops(OpcodeTable& table) {
  table["bra"] = decode_branch;
  table["brx"] = decode_indexed_branch;
  table["call"] = decode_call;
  table["ret"] = table["exit"] = [](Decoder& d) {
    d.opcode.take("uni");
    d.emit(leave, {});
  };
  table["trap"] = [](Decoder& d) { d.emit(trap, {}); };
  table["bar"] = table["barrier"] = decode_barrier;
}

}  // namespace cudasim::ptx
