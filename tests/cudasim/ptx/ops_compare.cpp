// setp and set, of integers and floats of every size and of pairs.
#include <cmath>

#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

enum class Comparison : uint8_t { kEq, kNe, kLt, kLe, kGt, kGe, kNumber, kNan };
enum class Combination : uint8_t { kNone, kAnd, kOr, kXor };

/// What one setp or set does, in Instruction::immediate.
struct Test {
  Comparison comparison = Comparison::kEq;
  bool if_unordered = false;  // the result where an operand is NaN
  Combination combination = Combination::kNone;
  uint8_t true_form = 0;      // set: 0 all ones of 32 bits, 1 1.0f, 2 f16 1.0, 3 bf16 1.0
};

Test test_of(const Instruction& i) {
  Test test;
  static_assert(sizeof test <= sizeof i.immediate);
  std::memcpy(static_cast<void*>(&test), &i.immediate, sizeof test);
  return test;
}

template <typename T>
bool holds(const Test& test, T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (std::isnan(a) || std::isnan(b)) return test.if_unordered;
  }
  switch (test.comparison) {
    case Comparison::kEq: return a == b;
    case Comparison::kNe: return a != b;
    case Comparison::kLt: return a < b;
    case Comparison::kLe: return a <= b;
    case Comparison::kGt: return a > b;
    case Comparison::kGe: return a >= b;
    case Comparison::kNumber: return true;
    case Comparison::kNan: return false;
  }
  return false;
}

bool combine(const Test& test, bool result, bool other) {
  switch (test.combination) {
    case Combination::kAnd: return result && other;
    case Combination::kOr: return result || other;
    case Combination::kXor: return result != other;
    default: return result;
  }
}

template <typename T>
struct Plain {
  using Value = T;
  static T get(const Frame& f, uint16_t slot, int) { return f.get<T>(slot); }
};
struct F16 {
  using Value = float;
  static float get(const Frame& f, uint16_t slot, int element) { return f16_to_float(static_cast<uint16_t>(f.slots[slot] >> (16 * element))); }
};
struct Bf16 {
  using Value = float;
  static float get(const Frame& f, uint16_t slot, int element) { return bf16_to_float(static_cast<uint16_t>(f.slots[slot] >> (16 * element))); }
};

/// Slots: p, q, a, b, the predicate to combine with. q: for pairs the second element's result, otherwise what p would be if the comparison failed.
template <typename Reader, int kElements>
void set_predicate(const Instruction& i, Frame& f) {
  const Test test = test_of(i);
  const bool other = f.slots[i.slot[4]] & 1;
  const bool first = holds<typename Reader::Value>(test, Reader::get(f, i.slot[2], 0), Reader::get(f, i.slot[3], 0));
  const bool second = kElements == 2 ? holds<typename Reader::Value>(test, Reader::get(f, i.slot[2], 1), Reader::get(f, i.slot[3], 1)) : !first;
  f.slots[i.slot[0]] = combine(test, first, other);
  f.slots[i.slot[1]] = combine(test, second, other);
}

/// The plain comparison of most loops: one result, nothing combined. Slots: p, a, b.
template <typename T>
void set_simple(const Instruction& i, Frame& f) {
  f.slots[i.slot[0]] = holds<T>(test_of(i), f.get<T>(i.slot[1]), f.get<T>(i.slot[2]));
}

template <typename Reader, int kElements>
void set_value(const Instruction& i, Frame& f) {  // slots: d, unused, a, b, predicate
  const Test test = test_of(i);
  constexpr uint32_t kTrueForms[] = {0xFFFFFFFF, 0x3F800000, 0x3C00, 0x3F80};
  const uint32_t form = kTrueForms[test.true_form];
  uint32_t result = 0;
  for (int e = 0; e < kElements; ++e) {
    const bool held = holds<typename Reader::Value>(test, Reader::get(f, i.slot[2], e), Reader::get(f, i.slot[3], e));
    if (combine(test, held, f.slots[i.slot[4]] & 1)) result |= test.true_form == 0 && kElements == 2 ? 0xFFFFu << (16 * e) : form << (16 * e);
  }
  f.set(i.slot[0], result);
}

template <template <typename, int> class Run>
Execute pick(Type type) {
  switch (type) {
    case Type::kF16: return Run<F16, 1>::execute;
    case Type::kF16x2: return Run<F16, 2>::execute;
    case Type::kBf16: return Run<Bf16, 1>::execute;
    case Type::kBf16x2: return Run<Bf16, 2>::execute;
    case Type::kF32: return Run<Plain<float>, 1>::execute;
    case Type::kF64: return Run<Plain<double>, 1>::execute;
    default: return for_integer(type, []<typename T>() -> Execute { return Run<Plain<T>, 1>::execute; });
  }
}
template <typename Reader, int kElements> struct Predicate { static constexpr Execute execute = set_predicate<Reader, kElements>; };
template <typename Reader, int kElements> struct Value { static constexpr Execute execute = set_value<Reader, kElements>; };

Execute pick_simple(Type type) {
  if (type == Type::kF32) return set_simple<float>;
  if (type == Type::kF64) return set_simple<double>;
  return for_integer(type, []<typename T>() -> Execute { return set_simple<T>; });
}

Test decode_test(Decoder& d) {
  Test test;
  d.opcode.take("ftz");
  const int index = d.opcode.take_one_of({"eq", "ne", "lt", "le", "gt", "ge", "equ", "neu", "ltu", "leu", "gtu", "geu", "lo", "ls", "hi", "hs", "num", "nan"});
  if (index < 0) d.fail("unknown comparison");
  if (index < 12) {
    test.comparison = static_cast<Comparison>(index % 6);
    test.if_unordered = index >= 6;
  } else if (index < 16) {  // lo ls hi hs: unsigned lt le gt ge
    test.comparison = static_cast<Comparison>(index - 12 + static_cast<int>(Comparison::kLt));
  } else {
    test.comparison = index == 16 ? Comparison::kNumber : Comparison::kNan;
    test.if_unordered = index == 17;
  }
  test.combination = static_cast<Combination>(d.opcode.take_one_of({"and", "or", "xor"}) + 1);
  return test;
}

void keep(Instruction& made, const Test& test) { std::memcpy(&made.immediate, &test, sizeof test); }

bool is_half(Type type) { return type == Type::kF16 || type == Type::kF16x2 || type == Type::kBf16 || type == Type::kBf16x2; }

void decode_set_predicate(Decoder& d) {
  const Test test = decode_test(d);
  const Type type = d.type();
  const bool two = d.operand(0).kind == Operand::Kind::kList;
  if (!two && test.combination == Combination::kNone && !is_half(type)) {
    keep(d.emit_plain(pick_simple(type), 2), test);
    return;
  }
  const uint16_t a = d.source(1), b = d.source(2), with = test.combination == Combination::kNone ? uint16_t{kTrue} : d.source(3);
  const std::span<const Operand> results = elements(d.operand(0));
  const uint16_t p = d.destination(results[0]), q = two ? d.destination(results[1]) : d.temporary();
  keep(d.emit(pick<Predicate>(type), {p, q, a, b, with}), test);
}

void decode_set(Decoder& d) {
  Test test = decode_test(d);
  const Type to = d.type(), from = d.type();
  test.true_form = to == Type::kF32 ? 1 : to == Type::kF16 || to == Type::kF16x2 ? 2 : to == Type::kBf16 || to == Type::kBf16x2 ? 3 : 0;
  const uint16_t a = d.source(1), b = d.source(2), with = test.combination == Combination::kNone ? uint16_t{kTrue} : d.source(3);
  keep(d.emit(pick<Value>(from), {d.destination(size_t{0}), kTrue, a, b, with}), test);
}

}  // namespace

void add_compare_ops(OpcodeTable& table) {
  table["setp"] = decode_set_predicate;
  table["set"] = decode_set;
}

}  // namespace cudasim::ptx
