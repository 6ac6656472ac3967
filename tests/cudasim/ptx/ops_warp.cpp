// What a warp does together: shfl vote match redux activemask elect ldmatrix mma. The scheduler's collectives do the work.
#include <bit>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/memory_access.h"

namespace cudasim::ptx {

namespace {

CallSite site_of(const Instruction& i, const Frame& f) { return {f.program->name.c_str(), static_cast<int>(i.line)}; }

void shuffle(const Instruction& i, Frame& f) {  // slots: d, p, a, b, c, mask; immediate: WarpOp
  const WarpOp op = static_cast<WarpOp>(i.immediate);
  const uint32_t value = f.get<uint32_t>(i.slot[2]), c = f.get<uint32_t>(i.slot[4]);
  const int operand = static_cast<int>(f.get<uint32_t>(i.slot[3]) & 31);
  const int width = 32 - static_cast<int>(c >> 8 & 31);
  uint32_t result;
  warp_collective(op, f.get<uint32_t>(i.slot[5]), &value, 4, &result, 4, operand, width, site_of(i, f));
  const int lane = current_lane->index, base = lane & ~(width - 1);
  const int source = op == WarpOp::kShuffleUp ? lane - operand : op == WarpOp::kShuffleDown ? lane + operand : op == WarpOp::kShuffleXor ? lane ^ operand : lane;
  f.set(i.slot[0], result);
  f.slots[i.slot[1]] = source >= base && source < base + width;
}

void vote(const Instruction& i, Frame& f) {  // slots: d, predicate, mask
  const int value = static_cast<int>(f.slots[i.slot[1]] & 1);
  uint32_t result;
  warp_collective(static_cast<WarpOp>(i.immediate), f.get<uint32_t>(i.slot[2]), &value, 4, &result, 4, 0, 32, site_of(i, f));
  f.set(i.slot[0], result);
}

void vote_uniform(const Instruction& i, Frame& f) {
  const int value = static_cast<int>(f.slots[i.slot[1]] & 1);
  uint32_t ballot;
  const uint32_t mask = f.get<uint32_t>(i.slot[2]);
  warp_collective(WarpOp::kBallot, mask, &value, 4, &ballot, 4, 0, 32, site_of(i, f));
  f.slots[i.slot[0]] = ballot == 0 || ballot == mask;
}

template <typename T>
void match_any(const Instruction& i, Frame& f) {  // slots: d, p (of match.all), a, mask; count: 1 for match.all
  const T value = f.get<T>(i.slot[2]);
  const uint32_t mask = f.get<uint32_t>(i.slot[3]);
  uint32_t equal;
  warp_collective(WarpOp::kMatchAny, mask, &value, sizeof value, &equal, 4, 0, 32, site_of(i, f));
  if (i.count) {
    f.slots[i.slot[1]] = equal == mask;
    equal = equal == mask ? mask : 0;
  }
  f.set(i.slot[0], equal);
}

void reduce(const Instruction& i, Frame& f) {  // slots: d, a, mask
  const uint32_t value = f.get<uint32_t>(i.slot[1]);
  uint32_t result;
  warp_collective(static_cast<WarpOp>(i.immediate), f.get<uint32_t>(i.slot[2]), &value, 4, &result, 4, 0, 32, site_of(i, f));
  f.set(i.slot[0], result);
}

/// All lanes of the warp that have not ended: one of the answers that a device may give.
void active_mask(const Instruction& i, Frame& f) {
  uint32_t mask = 0;
  for (const Lane& lane : *current_block->lanes) {
    if (lane.id < current_block->num_lanes && lane.warp == current_lane->warp && lane.state != LaneState::kDone) mask |= 1u << lane.index;
  }
  f.set(i.slot[0], mask);
}

void elect(const Instruction& i, Frame& f) {  // slots: d, p, mask
  const uint32_t mask = f.get<uint32_t>(i.slot[2]);
  warp_collective(WarpOp::kBallot, mask, &mask, 4, &f.slots[i.slot[0]], 4, 0, 32, site_of(i, f));
  const uint32_t leader = static_cast<uint32_t>(std::countr_zero(mask));
  f.set(i.slot[0], leader);
  f.slots[i.slot[1]] = leader == static_cast<uint32_t>(current_lane->index);
}

void load_matrix(const Instruction& i, Frame& f) {  // slots: base, destinations; count: matrices, and 0x80 if transposed
  const int count = i.count & 0x0F;
  const unsigned char* row = memory_at<true>(f, i.slot[0], i.immediate);
  uint32_t result[4];
  warp_collective(WarpOp::kLdmatrix, ~0u, &row, sizeof row, result, 4 * count, count, i.count & 0x80 ? 1 : 0, site_of(i, f));
  for (int k = 0; k < count; ++k) f.set(i.slot[1 + k], result[k]);
}

void multiply_matrices(const Instruction& i, Frame& f) {  // slots: d[4], a[4], b[2], c[4]; immediate: WarpOp
  MmaOperands in;
  for (int k = 0; k < 4; ++k) {
    in.a[k] = f.get<uint32_t>(i.slot[4 + k]);
    in.c[k] = f.get<float>(i.slot[10 + k]);
  }
  for (int k = 0; k < 2; ++k) in.b[k] = f.get<uint32_t>(i.slot[8 + k]);
  float d[4];
  warp_collective(static_cast<WarpOp>(i.immediate), ~0u, &in, sizeof in, d, sizeof d, 0, 32, site_of(i, f));
  for (int k = 0; k < 4; ++k) f.set(i.slot[k], d[k]);
}

void decode_shuffle(Decoder& d) {
  if (!d.opcode.take("sync")) d.fail("only shfl.sync");
  constexpr WarpOp kModes[] = {WarpOp::kShuffle, WarpOp::kShuffleUp, WarpOp::kShuffleDown, WarpOp::kShuffleXor};
  const int mode = d.opcode.take_one_of({"idx", "up", "down", "bfly"});
  if (mode < 0 || bytes_of(d.type()) != 4) d.fail("unknown mode");
  const std::span<const Operand> results = elements(d.operand(0));
  const uint16_t a = d.source(1), b = d.source(2), c = d.source(3), mask = d.source(4);
  const uint16_t p = results.size() > 1 ? d.destination(results[1]) : d.temporary();
  d.emit(shuffle, {d.destination(results[0]), p, a, b, c, mask}).immediate = static_cast<int64_t>(kModes[mode]);
}

void decode_vote(Decoder& d) {
  if (!d.opcode.take("sync")) d.fail("only vote.sync");
  constexpr WarpOp kModes[] = {WarpOp::kBallot, WarpOp::kAny, WarpOp::kAll};
  const int mode = d.opcode.take_one_of({"ballot", "any", "all", "uni"});
  d.type();
  if (mode < 0) d.fail("unknown mode");
  Instruction& made = d.emit_plain(mode == 3 ? vote_uniform : vote, 2);
  if (mode < 3) made.immediate = static_cast<int64_t>(kModes[mode]);
}

void decode_match(Decoder& d) {
  const int mode = d.opcode.take_one_of({"any", "all"});
  if (!d.opcode.take("sync") || mode < 0) d.fail("only match.any.sync and match.all.sync");
  const int bytes = bytes_of(d.type());
  const std::span<const Operand> results = elements(d.operand(0));
  const uint16_t a = d.source(1), mask = d.source(2);
  const uint16_t p = results.size() > 1 ? d.destination(results[1]) : d.temporary();
  d.emit(bytes == 8 ? match_any<uint64_t> : match_any<uint32_t>, {d.destination(results[0]), p, a, mask}).count = static_cast<uint8_t>(mode);
}

void decode_reduce(Decoder& d) {
  if (!d.opcode.take("sync")) d.fail("only redux.sync");
  const int operation = d.opcode.take_one_of({"add", "min", "max", "and", "or", "xor"});
  if (operation < 0) d.fail("unknown operation");
  const bool is_signed = d.type() == Type::kS32;
  const WarpOp operations[] = {WarpOp::kAddU32, is_signed ? WarpOp::kMinS32 : WarpOp::kMinU32, is_signed ? WarpOp::kMaxS32 : WarpOp::kMaxU32, WarpOp::kAnd, WarpOp::kOr, WarpOp::kXor};
  d.emit_plain(reduce, 2).immediate = static_cast<int64_t>(operations[operation]);
}

void decode_elect(Decoder& d) {
  d.opcode.take("sync");
  const std::span<const Operand> results = elements(d.operand(0));
  const uint16_t mask = d.source(1);
  d.emit(elect, {d.destination(results[0]), d.destination(results[1]), mask});
}

void decode_load_matrix(Decoder& d) {
  for (const std::string_view needed : {"sync", "aligned", "m8n8", "b16"}) {
    if (!d.opcode.take(needed)) d.fail("only ldmatrix.sync.aligned.m8n8.b16");
  }
  const int count = 1 << std::max(0, d.opcode.take_one_of({"x1", "x2", "x4"}));
  const bool transposed = d.opcode.take("trans");
  d.opcode.take_one_of({"shared", "shared::cta"});
  const Address address = d.address(d.operand(1));
  const std::span<const Operand> results = elements(d.operand(0));
  uint16_t slots[4] = {};
  for (size_t k = 0; k < results.size() && k < 4; ++k) slots[k] = d.destination(results[k]);
  Instruction& made = d.emit(load_matrix, {address.slot, slots[0], slots[1], slots[2], slots[3]});
  made.immediate = address.offset;
  made.count = static_cast<uint8_t>(count | (transposed ? 0x80 : 0));
}

void decode_multiply_matrices(Decoder& d) {
  for (const std::string_view needed : {"sync", "aligned", "m16n8k16", "row", "col"}) {
    if (!d.opcode.take(needed)) d.fail("only mma.sync.aligned.m16n8k16.row.col");
  }
  const Type to = d.type(), a = d.type(), b = d.type(), c = d.type();
  if (to != Type::kF32 || c != Type::kF32 || a != b || (a != Type::kF16 && a != Type::kBf16)) d.fail("only float sums of f16 or bf16 products");
  Instruction made_of;
  size_t next = 0;
  for (size_t k = 0; k < 4; ++k) {
    for (const Operand& element : elements(d.operand(k))) {
      if (next == kMaxSlots) d.fail("too many registers");
      made_of.slot[next++] = k == 0 ? d.destination(element) : d.source(element);
    }
  }
  if (next != kMaxSlots) d.fail("too few registers");
  Instruction& made = d.emit(multiply_matrices, {});
  std::copy(made_of.slot, made_of.slot + kMaxSlots, made.slot);
  made.immediate = static_cast<int64_t>(a == Type::kF16 ? WarpOp::kMmaF16 : WarpOp::kMmaBf16);
}

}  // namespace

void add_warp_ops(OpcodeTable& table) {
  table["shfl"] = decode_shuffle;
  table["vote"] = decode_vote;
  table["match"] = decode_match;
  table["redux"] = decode_reduce;
  table["elect"] = decode_elect;
  table["activemask"] = [](Decoder& d) {
    d.type();
    d.emit_plain(active_mask, 0);
  };
  table["ldmatrix"] = decode_load_matrix;
  table["mma"] = table["mma.half"] = table["mma.float"] = decode_multiply_matrices;
}

}  // namespace cudasim::ptx
