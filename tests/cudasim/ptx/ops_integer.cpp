// add sub mul mad div rem min max neg abs sad dp4a for integers, and the carry forms.
#include <cstdlib>

#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

template <typename T>
using Unsigned = std::make_unsigned_t<T>;

// Overflow wraps, so sums are made of unsigned numbers.
struct Add {
  template <typename T> T operator()(T a, T b) const { return static_cast<T>(static_cast<Unsigned<T>>(a) + static_cast<Unsigned<T>>(b)); }
};
struct Subtract {
  template <typename T> T operator()(T a, T b) const { return static_cast<T>(static_cast<Unsigned<T>>(a) - static_cast<Unsigned<T>>(b)); }
};
struct Minimum {
  template <typename T> T operator()(T a, T b) const { return a < b ? a : b; }
};
struct Maximum {
  template <typename T> T operator()(T a, T b) const { return a > b ? a : b; }
};
struct Negate {
  template <typename T> T operator()(T a) const { return static_cast<T>(Unsigned<T>{0} - static_cast<Unsigned<T>>(a)); }
};
struct Absolute {
  template <typename T> T operator()(T a) const { return std::is_signed_v<T> && a < 0 ? Negate()(a) : a; }
};
struct Divide {  // by zero: all ones; the PTX manual leaves it open
  template <typename T> T operator()(T a, T b) const {
    if (b == 0) return static_cast<T>(-1);
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return Negate()(a);
    return static_cast<T>(a / b);
  }
};
struct Remainder {
  template <typename T> T operator()(T a, T b) const {
    if (b == 0) return a;
    if (std::is_signed_v<T> && b == static_cast<T>(-1)) return 0;
    return static_cast<T>(a % b);
  }
};

template <typename T>
using Wider = std::conditional_t<std::is_signed_v<T>, __int128, unsigned __int128>;

struct MultiplyLow {
  template <typename T> T operator()(T a, T b) const { return static_cast<T>(static_cast<uint64_t>(a) * static_cast<uint64_t>(b)); }
};
struct MultiplyHigh {
  template <typename T> T operator()(T a, T b) const { return static_cast<T>((static_cast<Wider<T>>(a) * static_cast<Wider<T>>(b)) >> (8 * sizeof(T))); }
};
struct Multiply24 {
  template <typename T> T operator()(T a, T b) const { return static_cast<T>(sign_extend(a) * sign_extend(b)); }
  template <typename T> static int64_t sign_extend(T a) {
    return std::is_signed_v<T> ? static_cast<int64_t>(static_cast<uint64_t>(a) << 40) >> 40 : static_cast<int64_t>(a & 0xFFFFFF);
  }
};

template <typename T>
using Wide = std::conditional_t<sizeof(T) == 2, std::conditional_t<std::is_signed_v<T>, int32_t, uint32_t>, std::conditional_t<std::is_signed_v<T>, int64_t, uint64_t>>;

template <typename T>
void multiply_wide(const Instruction& i, Frame& f) {
  f.set(i.slot[0], static_cast<Wide<T>>(static_cast<Wide<T>>(f.get<T>(i.slot[1])) * static_cast<Wide<T>>(f.get<T>(i.slot[2]))));
}

template <typename T>
void multiply_add_wide(const Instruction& i, Frame& f) {
  const auto product = static_cast<Wide<T>>(static_cast<Wide<T>>(f.get<T>(i.slot[1])) * static_cast<Wide<T>>(f.get<T>(i.slot[2])));
  f.set(i.slot[0], Add()(product, f.get<Wide<T>>(i.slot[3])));
}

template <typename Multiply>
struct ThenAdd {
  template <typename T> T operator()(T a, T b, T c) const { return Add()(Multiply()(a, b), c); }
};

struct SumOfAbsoluteDifference {
  template <typename T> T operator()(T a, T b, T c) const { return Add()(c, a < b ? Subtract()(b, a) : Subtract()(a, b)); }
};

/// add.cc (slot 2's value and nothing comes in), addc, addc.cc; b is inverted for subtraction. mad forms have made the product already.
template <typename T>
T add_with_carry(Frame& f, T a, T b, const Instruction& i) {
  enum : uint8_t { kTakes = 1, kGives = 2, kSubtracts = 4 };
  const bool subtracts = i.count & kSubtracts;
  if (subtracts) b = static_cast<T>(~b);
  const unsigned carry_in = i.count & kTakes ? static_cast<unsigned>(f.carry != subtracts) : subtracts;  // subtraction keeps a borrow
  const unsigned __int128 sum = static_cast<unsigned __int128>(a) + b + carry_in;
  if (i.count & kGives) f.carry = static_cast<bool>(sum >> (8 * sizeof(T)) & 1) != subtracts;
  return static_cast<T>(sum);
}

template <typename T>
void run_add_carry(const Instruction& i, Frame& f) {
  f.set(i.slot[0], add_with_carry(f, f.get<T>(i.slot[1]), f.get<T>(i.slot[2]), i));
}

template <typename T, typename Multiply>
void run_mad_carry(const Instruction& i, Frame& f) {
  using U = Unsigned<T>;
  const U product = static_cast<U>(Multiply()(f.get<T>(i.slot[1]), f.get<T>(i.slot[2])));
  f.set(i.slot[0], add_with_carry<U>(f, product, f.get<U>(i.slot[3]), i));
}

void dot_product(const Instruction& i, Frame& f) {  // count: 1 if a is signed, 2 if b is
  const uint32_t a = f.get<uint32_t>(i.slot[1]), b = f.get<uint32_t>(i.slot[2]);
  uint32_t sum = f.get<uint32_t>(i.slot[3]);
  for (int k = 0; k < 32; k += 8) {
    const int32_t x = i.count & 1 ? static_cast<int8_t>(a >> k) : static_cast<uint8_t>(a >> k);
    const int32_t y = i.count & 2 ? static_cast<int8_t>(b >> k) : static_cast<uint8_t>(b >> k);
    sum += static_cast<uint32_t>(x * y);
  }
  f.set(i.slot[0], sum);
}

template <typename Function>
void decode_binary(Decoder& d) {
  d.emit_plain(integer_binary<Function>(d.type()), 2);
}

template <typename Function>
void decode_unary(Decoder& d) {
  d.emit_plain(integer_unary<Function>(d.type()), 1);
}

/// add, sub, addc, subc
template <bool kSubtract, bool kTakesCarry>
void decode_sum(Decoder& d) {
  const bool gives_carry = d.opcode.take("cc");
  const Type type = d.type();
  if (!gives_carry && !kTakesCarry) {
    d.emit_plain(kSubtract ? integer_binary<Subtract>(type) : integer_binary<Add>(type), 2);
    return;
  }
  const Execute execute = for_integer(type, []<typename T>() -> Execute { return run_add_carry<Unsigned<T>>; });
  d.emit_plain(execute, 2).count = static_cast<uint8_t>((kTakesCarry ? 1 : 0) | (gives_carry ? 2 : 0) | (kSubtract ? 4 : 0));
}

Execute wide_product(Decoder& d, Type type, bool adds) {
  switch (type) {
    case Type::kU16: return adds ? multiply_add_wide<uint16_t> : multiply_wide<uint16_t>;
    case Type::kS16: return adds ? multiply_add_wide<int16_t> : multiply_wide<int16_t>;
    case Type::kU32: return adds ? multiply_add_wide<uint32_t> : multiply_wide<uint32_t>;
    case Type::kS32: return adds ? multiply_add_wide<int32_t> : multiply_wide<int32_t>;
    default: d.fail("not a type of .wide");
  }
}

void decode_multiply(Decoder& d) {
  const int part = d.opcode.take_one_of({"lo", "hi", "wide"});
  const Type type = d.type();
  d.emit_plain(part == 2 ? wide_product(d, type, false) : part == 1 ? integer_binary<MultiplyHigh>(type) : integer_binary<MultiplyLow>(type), 2);
}

template <typename Multiply>
Execute integer_mad(Type type) {
  return for_integer(type, []<typename T>() -> Execute { return run_ternary<T, ThenAdd<Multiply>>; });
}

void decode_mad(Decoder& d) {
  const int part = d.opcode.take_one_of({"lo", "hi", "wide"});
  const bool gives_carry = d.opcode.take("cc");
  const Type type = d.type();
  const bool takes_carry = d.opcode.base() == "madc";
  if (!gives_carry && !takes_carry) {
    d.emit_plain(part == 2 ? wide_product(d, type, true) : part == 1 ? integer_mad<MultiplyHigh>(type) : integer_mad<MultiplyLow>(type), 3);
    return;
  }
  const Execute low = for_integer(type, []<typename T>() -> Execute { return run_mad_carry<T, MultiplyLow>; });
  const Execute high = for_integer(type, []<typename T>() -> Execute { return run_mad_carry<T, MultiplyHigh>; });
  d.emit_plain(part == 1 ? high : low, 3).count = static_cast<uint8_t>((takes_carry ? 1 : 0) | (gives_carry ? 2 : 0));
}

void decode_mul24(Decoder& d) {
  if (!d.opcode.take("lo")) d.fail("only .lo");
  d.emit_plain(integer_binary<Multiply24>(d.type()), 2);
}

void decode_sad(Decoder& d) {
  d.emit_plain(for_integer(d.type(), []<typename T>() -> Execute { return run_ternary<T, SumOfAbsoluteDifference>; }), 3);
}

void decode_dp4a(Decoder& d) {
  const bool a_signed = d.type() == Type::kS32;
  const bool b_signed = d.type() == Type::kS32;
  d.emit_plain(dot_product, 3).count = static_cast<uint8_t>((a_signed ? 1 : 0) | (b_signed ? 2 : 0));
}

}  // namespace

void add_integer_ops(OpcodeTable& table) {
  table["add"] = decode_sum<false, false>;
  table["addc"] = decode_sum<false, true>;
  table["sub"] = decode_sum<true, false>;
  table["subc"] = decode_sum<true, true>;
  table["mul"] = decode_multiply;
  table["mul24"] = decode_mul24;
  table["mad"] = table["madc"] = decode_mad;
  table["div"] = decode_binary<Divide>;
  table["rem"] = decode_binary<Remainder>;
  table["min"] = decode_binary<Minimum>;
  table["max"] = decode_binary<Maximum>;
  table["neg"] = decode_unary<Negate>;
  table["abs"] = decode_unary<Absolute>;
  table["sad"] = decode_sad;
  table["dp4a"] = decode_dp4a;
}

}  // namespace cudasim::ptx
