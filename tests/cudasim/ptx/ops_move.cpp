// mov with packing and unpacking, selp, slct, and special registers that change or depend on the lane.
#include <chrono>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

template <typename T>
void move(const Instruction& i, Frame& f) {
  f.set(i.slot[0], f.get<T>(i.slot[1]));
}

Execute pick_move(Type type) {
  switch (bytes_of(type)) {
    case 1: return move<uint8_t>;
    case 2: return move<uint16_t>;
    case 4: return move<uint32_t>;
    default: return move<uint64_t>;
  }
}

void pack(const Instruction& i, Frame& f) {  // count: elements; immediate: bits of each
  uint64_t result = 0;
  const uint64_t mask = (uint64_t{1} << i.immediate) - 1;
  for (int e = 0; e < i.count; ++e) result |= (f.slots[i.slot[1 + e]] & mask) << (e * i.immediate);
  f.slots[i.slot[0]] = result;
}

void unpack(const Instruction& i, Frame& f) {  // slots: source, then the elements
  const uint64_t value = f.slots[i.slot[0]];
  const uint64_t mask = (uint64_t{1} << i.immediate) - 1;
  for (int e = 0; e < i.count; ++e) f.slots[i.slot[1 + e]] = value >> (e * i.immediate) & mask;
}

template <typename T>
void select(const Instruction& i, Frame& f) {
  f.set(i.slot[0], f.slots[i.slot[3]] & 1 ? f.get<T>(i.slot[1]) : f.get<T>(i.slot[2]));
}

template <typename T>
void select_by_sign(const Instruction& i, Frame& f) {  // count: 1 if the third operand is a float
  const bool first = i.count ? f.get<float>(i.slot[3]) >= 0 : f.get<int32_t>(i.slot[3]) >= 0;
  f.set(i.slot[0], first ? f.get<T>(i.slot[1]) : f.get<T>(i.slot[2]));
}

void lane_mask(const Instruction& i, Frame& f) {  // immediate: eq lt le gt ge
  const uint32_t own = 1u << current_lane->index;
  const uint32_t below = own - 1;
  const uint32_t masks[] = {own, below, below | own, ~(below | own), ~below};
  f.set(i.slot[0], masks[i.immediate]);
}

/// Not time, only something that grows.
void clock(const Instruction& i, Frame& f) { f.slots[i.slot[0]] = f.executed; }

void global_timer(const Instruction& i, Frame& f) {
  f.slots[i.slot[0]] = static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
}

bool decode_special(Decoder& d, std::string_view name) {
  constexpr std::string_view kMasks[] = {"%lanemask_eq", "%lanemask_lt", "%lanemask_le", "%lanemask_gt", "%lanemask_ge"};
  for (int64_t k = 0; k < 5; ++k) {
    if (name != kMasks[k]) continue;
    d.emit(lane_mask, {d.destination(size_t{0})}).immediate = k;
    return true;
  }
  if (name == "%clock" || name == "%clock64" || name == "%clock_hi") return d.emit(clock, {d.destination(size_t{0})}), true;
  if (name == "%globaltimer" || name == "%globaltimer_lo") return d.emit(global_timer, {d.destination(size_t{0})}), true;
  return false;
}

void decode_move(Decoder& d) {
  const Type type = d.type();
  const Operand &to = d.operand(0), &from = d.operand(1);
  const auto fill = [&](Instruction& made, size_t count) {
    made.count = static_cast<uint8_t>(count);
    made.immediate = static_cast<int64_t>(8 * static_cast<size_t>(bytes_of(type)) / count);
  };
  if (from.kind == Operand::Kind::kSpecial && decode_special(d, from.name)) return;
  if (from.kind == Operand::Kind::kList) {
    uint16_t slots[5] = {d.destination(to)};
    for (size_t e = 0; e < from.elements.size() && e < 4; ++e) slots[1 + e] = d.source(from.elements[e]);
    fill(d.emit(pack, {slots[0], slots[1], slots[2], slots[3], slots[4]}), from.elements.size());
  } else if (to.kind == Operand::Kind::kList) {
    uint16_t slots[5] = {d.source(from)};
    for (size_t e = 0; e < to.elements.size() && e < 4; ++e) slots[1 + e] = d.destination(to.elements[e]);
    fill(d.emit(unpack, {slots[0], slots[1], slots[2], slots[3], slots[4]}), to.elements.size());
  } else {
    d.emit_plain(pick_move(type), 1);
  }
}

void decode_select(Decoder& d) {
  switch (bytes_of(d.type())) {
    case 1: d.emit_plain(select<uint8_t>, 3); break;
    case 2: d.emit_plain(select<uint16_t>, 3); break;
    case 4: d.emit_plain(select<uint32_t>, 3); break;
    default: d.emit_plain(select<uint64_t>, 3); break;
  }
}

void decode_select_by_sign(Decoder& d) {
  const int bytes = bytes_of(d.type());
  const bool by_float = d.type() == Type::kF32;
  d.emit_plain(bytes == 2 ? select_by_sign<uint16_t> : bytes == 4 ? select_by_sign<uint32_t> : select_by_sign<uint64_t>, 3).count = by_float;
}

}  // namespace

void add_move_ops(OpcodeTable& table) {
  table["mov"] = decode_move;
  table["selp"] = decode_select;
  table["slct"] = decode_select_by_sign;
}

}  // namespace cudasim::ptx
