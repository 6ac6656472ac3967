// ld, st, ldu, cp.async, prefetch, and the fences, which order nothing here: lanes run one at a time.
#include <fmt/core.h>

#include "tests/cudasim/ptx/memory_access.h"

namespace cudasim::ptx {

MemoryModifiers take_memory_modifiers(Opcode& opcode) {
  MemoryModifiers result;
  for (const std::string_view ordered : {"acquire", "release", "acq_rel"}) result.ordered |= opcode.take(ordered);
  result.atomic = result.ordered;
  for (const std::string_view strong : {"volatile", "relaxed", "mmio"}) result.atomic |= opcode.take(strong);
  result.system = result.atomic && opcode.take("sys");
  for (const std::string_view ignored : {"weak", "nc", "ca", "cg", "cs", "cv", "lu", "wb", "wt", "cta", "gpu", "sys", "cluster", "noftz", "L1::no_allocate", "L1::evict_last",
                                         "L1::evict_first", "L1::evict_normal", "L1::evict_unchanged", "L2::64B", "L2::128B", "L2::256B", "L2::evict_last", "L2::evict_first"}) {
    opcode.take(ignored);
  }
  const std::pair<std::string_view, Space> spaces[] = {{"global", Space::kGlobal},       {"shared", Space::kShared},      {"shared::cta", Space::kShared}, {"local", Space::kLocal},
                                                       {"param", Space::kParam},         {"const", Space::kConst},        {"param::entry", Space::kParam}, {"param::func", Space::kParam}};
  for (const auto& [name, space] : spaces) {
    if (opcode.take(name)) result.space = space;
  }
  return result;
}

namespace {

enum class Where : uint8_t { kPlain, kShared, kLocal, kParam };

constexpr uint8_t kAtomicFlag = 0x80, kCountMask = 0x0F;  // Instruction::count

/// Whether the lane may touch its local memory there.
bool inside_locals(const Instruction& i, const Frame& f, const unsigned char* address, int bytes) {
  if (address >= f.locals_begin && address + bytes <= f.locals_end) return true;
  report(fmt::format("local memory out of bounds: {} bytes at offset {} of {}, {}", bytes, address - f.locals_begin, f.locals_end - f.locals_begin, i.text));
  return false;
}

template <Where kWhere>
bool may_access(const Instruction& i, Frame& f, const unsigned char* address, int bytes, bool write) {
  if (kWhere == Where::kParam) return true;
  if (kWhere == Where::kLocal) return inside_locals(i, f, address, bytes);
  tell_checker(i, address, bytes, write, i.count & kAtomicFlag);
  return true;
}

template <typename T>
void put(Frame& f, uint16_t slot, T value) {
  if constexpr (std::is_signed_v<T>) {
    f.slots[slot] = static_cast<uint64_t>(static_cast<int64_t>(value));  // the register may be wider than what is loaded
  } else {
    f.set(slot, value);
  }
}

template <typename T, Where kWhere>
void load(const Instruction& i, Frame& f) {  // slots: base, destinations
  const int count = i.count & kCountMask;
  const unsigned char* address = memory_at<kWhere == Where::kShared>(f, i.slot[0], i.immediate);
  const int bytes = count * static_cast<int>(sizeof(T));
  const bool allowed = may_access<kWhere>(i, f, address, bytes, false);
  T values[4] = {};
  if (allowed) std::memcpy(values, address, static_cast<size_t>(bytes));
  for (int e = 0; e < count; ++e) put(f, i.slot[1 + e], values[e]);
}

template <typename T, Where kWhere>
void store(const Instruction& i, Frame& f) {  // slots: base, sources
  const int count = i.count & kCountMask;
  unsigned char* address = memory_at<kWhere == Where::kShared>(f, i.slot[0], i.immediate);
  const int bytes = count * static_cast<int>(sizeof(T));
  if (!may_access<kWhere>(i, f, address, bytes, true)) return;
  for (int e = 0; e < count; ++e) std::memcpy(address + static_cast<size_t>(e) * sizeof(T), &f.slots[i.slot[1 + e]], sizeof(T));
}

CallSite site_of(const Instruction& i, const Frame& f) { return {f.program->name.c_str(), static_cast<int>(i.line)}; }

/// slots: base, value; `ordered`: acquire or release.
template <bool kOrdered>
void load_of_system(const Instruction& i, Frame& f) {
  f.slots[i.slot[1]] = load_system(memory_at<false>(f, i.slot[0], i.immediate), i.count, kOrdered, site_of(i, f), i.text);
}

template <bool kOrdered>
void store_of_system(const Instruction& i, Frame& f) {
  store_system(memory_at<false>(f, i.slot[0], i.immediate), f.slots[i.slot[1]], i.count, kOrdered, i.text);
}

Execute pick_system_access(bool is_store, bool ordered) {
  if (is_store) return ordered ? store_of_system<true> : store_of_system<false>;
  return ordered ? load_of_system<true> : load_of_system<false>;
}

Type as_bits(Type type) {
  switch (type) {
    case Type::kF16: case Type::kBf16: return Type::kB16;
    case Type::kF32: case Type::kF16x2: case Type::kBf16x2: return Type::kB32;
    case Type::kF64: return Type::kB64;
    default: return type;
  }
}

Where where_of(Space space) {
  switch (space) {
    case Space::kShared: return Where::kShared;
    case Space::kLocal: return Where::kLocal;
    case Space::kParam: return Where::kParam;
    default: return Where::kPlain;
  }
}

template <Where kWhere>
Execute pick_access(Type type, bool is_store) {
  return for_integer(type, [is_store]<typename T>() -> Execute { return is_store ? store<T, kWhere> : load<T, kWhere>; });
}

Execute pick_access(Where where, Type type, bool is_store) {
  switch (where) {
    case Where::kShared: return pick_access<Where::kShared>(type, is_store);
    case Where::kLocal: return pick_access<Where::kLocal>(type, is_store);
    case Where::kParam: return pick_access<Where::kParam>(type, is_store);
    default: return pick_access<Where::kPlain>(type, is_store);
  }
}

void decode_access(Decoder& d) {
  const bool is_store = d.opcode.base() == "st";
  const MemoryModifiers modifiers = take_memory_modifiers(d.opcode);
  d.opcode.take_one_of({"v2", "v4"});
  const Type type = as_bits(d.type());
  const Address address = d.address(d.operand(is_store ? 0 : 1));
  const std::span<const Operand> values = elements(d.operand(is_store ? 1 : 0));
  if (values.size() > 4) d.fail("more than 4 elements");
  if (const int bytes = bytes_of(type); modifiers.system && modifiers.space != Space::kShared) {
    if (values.size() != 1 || (bytes != 4 && bytes != 8)) d.fail("only 4 or 8 bytes at system scope");
    const uint16_t value = is_store ? d.source(values[0]) : d.destination(values[0]);
    Instruction& made = d.emit(pick_system_access(is_store, modifiers.ordered), {address.slot, value});
    made.immediate = address.offset;
    made.count = static_cast<uint8_t>(bytes);
    return;
  }
  uint16_t slots[5] = {address.slot};
  for (size_t e = 0; e < values.size(); ++e) slots[1 + e] = is_store ? d.source(values[e]) : d.destination(values[e]);
  Instruction& made = d.emit(pick_access(where_of(modifiers.space), type, is_store), {slots[0], slots[1], slots[2], slots[3], slots[4]});
  made.immediate = address.offset;
  made.count = static_cast<uint8_t>(values.size() | (modifiers.atomic ? kAtomicFlag : 0));
}

void copy_async(const Instruction& i, Frame& f) {  // slots: shared, global, valid bytes; count: bytes; immediate: the two offsets
  const int64_t shared_offset = static_cast<int32_t>(i.immediate), global_offset = i.immediate >> 32;
  void* to = memory_at<true>(f, i.slot[0], shared_offset);
  const void* from = memory_at<false>(f, i.slot[1], global_offset);
  cp_async(to, from, i.count, static_cast<int>(std::min<uint32_t>(f.get<uint32_t>(i.slot[2]), i.count)));
}

void copy_async_if(const Instruction& i, Frame& f) {  // slot 2: a predicate, set where the source is to be ignored
  const int64_t shared_offset = static_cast<int32_t>(i.immediate), global_offset = i.immediate >> 32;
  cp_async(memory_at<true>(f, i.slot[0], shared_offset), memory_at<false>(f, i.slot[1], global_offset), i.count, f.slots[i.slot[2]] & 1 ? 0 : i.count);
}

void commit(const Instruction&, Frame&) { cp_async_commit(); }
void wait_group(const Instruction& i, Frame& f) { cp_async_wait(static_cast<int>(f.get<uint32_t>(i.slot[0]))); }
void wait_all(const Instruction&, Frame&) { cp_async_wait_all(); }

void decode_copy(Decoder& d) {
  if (!d.opcode.take("async")) d.fail("only cp.async");
  if (d.opcode.take("commit_group")) return static_cast<void>(d.emit(commit, {}));
  if (d.opcode.take("wait_group")) return static_cast<void>(d.emit(wait_group, {d.source(size_t{0})}));
  if (d.opcode.take("wait_all")) return static_cast<void>(d.emit(wait_all, {}));
  take_memory_modifiers(d.opcode);
  const Address to = d.address(d.operand(0)), from = d.address(d.operand(1));
  const int64_t bytes = d.operand(2).immediate;
  if (bytes != 4 && bytes != 8 && bytes != 16) d.fail("4, 8 or 16 bytes");
  uint16_t valid = d.constant(static_cast<uint64_t>(bytes));
  bool is_predicate = false;
  if (d.num_operands() > 3) {
    const Operand& last = d.operand(3);
    is_predicate = last.kind == Operand::Kind::kRegister && d.function().registers[static_cast<size_t>(last.reg)].bits == 1;
    valid = d.source(last);
  }
  Instruction& made = d.emit(is_predicate ? copy_async_if : copy_async, {to.slot, from.slot, valid});
  made.count = static_cast<uint8_t>(bytes);
  made.immediate = static_cast<int64_t>(static_cast<uint64_t>(from.offset) << 32 | static_cast<uint32_t>(to.offset));
}

void nothing(const Instruction&, Frame&) {}

void decode_nothing(Decoder& d) {
  while (!d.opcode.left_over().empty()) d.opcode.take(d.opcode.left_over());
  d.emit(nothing, {});
}

}  // namespace

void add_memory_ops(OpcodeTable& table) {
  table["ld"] = table["ldu"] = table["st"] = decode_access;
  table["cp"] = decode_copy;
  table["prefetch"] = table["prefetchu"] = decode_nothing;
  table["membar"] = table["fence"] = table["nanosleep"] = decode_nothing;
}

}  // namespace cudasim::ptx
