// atom and red. Lanes run one at a time, so reading, changing and writing is atomic by itself.
#include <cmath>

#include "tests/cudasim/ptx/memory_access.h"

namespace cudasim::ptx {

namespace {

enum class Change : int8_t { kAdd, kMin, kMax, kAnd, kOr, kXor, kExchange, kCompare, kIncrement, kDecrement };
constexpr uint8_t kResult = 0x80, kShared = 0x40, kChangeMask = 0x0F;  // Instruction::count

template <typename T>
T changed(Change change, T old, T b, T c) {
  if constexpr (std::is_floating_point_v<T>) {
    switch (change) {
      case Change::kAdd: return old + b;
      case Change::kMin: return std::fmin(old, b);
      case Change::kMax: return std::fmax(old, b);
      default: return b;
    }
  } else {
    using U = std::make_unsigned_t<T>;
    switch (change) {
      case Change::kAdd: return static_cast<T>(static_cast<U>(old) + static_cast<U>(b));
      case Change::kMin: return std::min(old, b);
      case Change::kMax: return std::max(old, b);
      case Change::kAnd: return old & b;
      case Change::kOr: return old | b;
      case Change::kXor: return old ^ b;
      case Change::kExchange: return b;
      case Change::kCompare: return old == b ? c : old;
      case Change::kIncrement: return static_cast<U>(old) >= static_cast<U>(b) ? T{0} : static_cast<T>(old + 1);
      case Change::kDecrement: return old == 0 || static_cast<U>(old) > static_cast<U>(b) ? b : static_cast<T>(old - 1);
    }
    return b;
  }
}

/// One or two 16-bit floats, added each by itself.
template <FloatFormat kFormat, typename T>
struct Halves {
  T bits;
};

template <FloatFormat kFormat, typename T>
Halves<kFormat, T> changed(Change, Halves<kFormat, T> old, Halves<kFormat, T> b, Halves<kFormat, T>) {
  Halves<kFormat, T> result{0};
  for (size_t e = 0; e < sizeof(T) / 2; ++e) {
    const double sum = decode(kFormat, old.bits >> (16 * e) & 0xFFFF) + decode(kFormat, b.bits >> (16 * e) & 0xFFFF);
    result.bits = static_cast<T>(result.bits | encode(kFormat, sum) << (16 * e));
  }
  return result;
}

template <typename T>
void run_atomic(const Instruction& i, Frame& f) {  // slots: result, base, b, c
  unsigned char* address = i.count & kShared ? memory_at<true>(f, i.slot[1], i.immediate) : memory_at<false>(f, i.slot[1], i.immediate);
  tell_checker(i, address, sizeof(T), true, true);
  T old;
  std::memcpy(&old, address, sizeof old);
  const T value = changed(static_cast<Change>(i.count & kChangeMask), old, f.get<T>(i.slot[2]), f.get<T>(i.slot[3]));
  std::memcpy(address, &value, sizeof value);
  if (i.count & kResult) f.set(i.slot[0], old);
}

Execute pick(Type type) {
  switch (type) {
    case Type::kF32: return run_atomic<float>;
    case Type::kF64: return run_atomic<double>;
    case Type::kF16: return run_atomic<Halves<kF16Format, uint16_t>>;
    case Type::kBf16: return run_atomic<Halves<kBf16Format, uint16_t>>;
    case Type::kF16x2: return run_atomic<Halves<kF16Format, uint32_t>>;
    case Type::kBf16x2: return run_atomic<Halves<kBf16Format, uint32_t>>;
    default: return for_integer(type, []<typename T>() -> Execute { return run_atomic<T>; });
  }
}

void decode_atomic(Decoder& d) {
  const bool has_result = d.opcode.base() == "atom";
  d.opcode.take("rn");
  const int change = d.opcode.take_one_of({"add", "min", "max", "and", "or", "xor", "exch", "cas", "inc", "dec"});
  if (change < 0) d.fail("unknown operation");
  const MemoryModifiers modifiers = take_memory_modifiers(d.opcode);
  const Type type = d.type();
  const size_t first = has_result ? 1 : 0;
  const bool halves = type == Type::kF16 || type == Type::kBf16 || type == Type::kF16x2 || type == Type::kBf16x2;
  if (halves && static_cast<Change>(change) != Change::kAdd) d.fail("16-bit floats are only added");
  const Address address = d.address(d.operand(first));
  const uint16_t b = d.source(first + 1), c = static_cast<Change>(change) == Change::kCompare ? d.source(first + 2) : uint16_t{kZero};
  Instruction& made = d.emit(pick(type), {has_result ? d.destination(size_t{0}) : uint16_t{kZero}, address.slot, b, c});
  made.immediate = address.offset;
  made.count = static_cast<uint8_t>(change | (has_result ? kResult : 0) | (modifiers.space == Space::kShared ? kShared : 0));
}

}  // namespace

void add_atomic_ops(OpcodeTable& table) { table["atom"] = table["red"] = decode_atomic; }

}  // namespace cudasim::ptx
