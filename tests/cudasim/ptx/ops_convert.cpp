// cvt between integers, f16, bf16, f32, f64, tf32, and pairs of e4m3 and e5m2; cvta between generic and other addresses.
#include <cfenv>
#include <cmath>
#include <limits>
#include <utility>

#include "tests/cudasim/core.h"
#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};
struct Tf32 {
  uint32_t bits;
};

constexpr uint8_t kRoundingBits = 7, kSaturate = 8, kFlush = 16, kToInteger = 32, kRelu = 64;  // Instruction::count

Rounding rounding_of(const Instruction& i) { return static_cast<Rounding>(i.count & kRoundingBits); }

template <typename T>
double widen(T value) { return static_cast<double>(value); }
double widen(F16 value) { return f16_to_float(value.bits); }
double widen(Bf16 value) { return bf16_to_float(value.bits); }

/// An integer value by the instruction's rounding.
double round_to_integer(double value, Rounding rounding) {
  switch (rounding) {
    case Rounding::kNearest: return std::nearbyint(value);
    case Rounding::kZero: return std::trunc(value);
    case Rounding::kDown: return std::floor(value);
    case Rounding::kUp: return std::ceil(value);
    case Rounding::kNearestAway: return std::round(value);
  }
  return value;
}

int mode_of(Rounding rounding) {
  return rounding == Rounding::kZero ? FE_TOWARDZERO : rounding == Rounding::kDown ? FE_DOWNWARD : rounding == Rounding::kUp ? FE_UPWARD : FE_TONEAREST;
}

template <typename From>
float to_float(From value, Rounding rounding) {
  if (rounding == Rounding::kNearest) return static_cast<float>(value);
  volatile From in = value;
  std::fesetround(mode_of(rounding));
  volatile float out = static_cast<float>(From{in});
  std::fesetround(FE_TONEAREST);
  return out;
}

/// Out of range: the nearest end of the range; NaN: 0 (PTX manual, cvt).
template <typename Integer>
Integer clamp_to_integer(double value) {
  if (std::isnan(value)) return sizeof(Integer) == 8 ? std::numeric_limits<Integer>::min() : Integer{0};
  if (value <= static_cast<double>(std::numeric_limits<Integer>::min())) return std::numeric_limits<Integer>::min();
  if (value >= static_cast<double>(std::numeric_limits<Integer>::max())) return std::numeric_limits<Integer>::max();
  return static_cast<Integer>(value);
}

template <typename From>
constexpr bool kIsInteger = std::is_integral_v<From>;

template <typename To, typename From>
To convert(const Instruction& i, From value) {
  const Rounding rounding = rounding_of(i);
  if constexpr (kIsInteger<To> && kIsInteger<From>) {
    if (!(i.count & kSaturate)) return static_cast<To>(value);
    if (std::cmp_less(value, std::numeric_limits<To>::min())) return std::numeric_limits<To>::min();
    if (std::cmp_greater(value, std::numeric_limits<To>::max())) return std::numeric_limits<To>::max();
    return static_cast<To>(value);
  } else if constexpr (kIsInteger<To>) {
    double in = widen(value);
    if ((i.count & kFlush) && std::fabs(in) < std::numeric_limits<float>::min()) in = 0;
    return clamp_to_integer<To>(round_to_integer(in, rounding));
  } else if constexpr (kIsInteger<From>) {
    if constexpr (std::is_same_v<To, float>) return to_float(value, rounding);
    if constexpr (std::is_same_v<To, double>) return static_cast<double>(value);
    if constexpr (std::is_same_v<To, F16>) return {static_cast<uint16_t>(encode(kF16Format, static_cast<double>(value), rounding))};
    if constexpr (std::is_same_v<To, Bf16>) return {static_cast<uint16_t>(encode(kBf16Format, static_cast<double>(value), rounding))};
  } else {
    double in = widen(value);
    if (i.count & kToInteger) in = round_to_integer(in, rounding);
    if ((i.count & kRelu) && !std::isnan(in)) in = std::fmax(in, 0.0);
    if (i.count & kSaturate) in = in > 0 ? std::fmin(in, 1.0) : 0;
    if constexpr (std::is_same_v<To, double>) return in;
    if constexpr (std::is_same_v<To, float>) {
      const float out = to_float(in, i.count & kToInteger ? Rounding::kNearest : rounding);
      return (i.count & kFlush) && std::fpclassify(out) == FP_SUBNORMAL ? std::copysign(0.0f, out) : out;
    }
    if constexpr (std::is_same_v<To, F16>) {
      if (rounding == Rounding::kNearest && std::is_same_v<From, float>) return {float_to_f16(static_cast<float>(in))};
      return {static_cast<uint16_t>(encode(kF16Format, in, rounding))};
    }
    if constexpr (std::is_same_v<To, Bf16>) {
      if (rounding == Rounding::kNearest && std::is_same_v<From, float>) return {float_to_bf16(static_cast<float>(in))};
      return {static_cast<uint16_t>(encode(kBf16Format, in, rounding))};
    }
  }
}

template <typename To, typename From>
void run_convert(const Instruction& i, Frame& f) {
  const To result = convert<To>(i, f.get<From>(i.slot[1]));
  if constexpr (kIsInteger<To> && std::is_signed_v<To>) {
    f.slots[i.slot[0]] = static_cast<uint64_t>(static_cast<int64_t>(result));  // the register may be wider
  } else {
    f.set(i.slot[0], result);
  }
}

template <typename Make>
Execute for_number(Type type, Make make) {
  switch (type) {
    case Type::kF16: return make.template operator()<F16>();
    case Type::kBf16: return make.template operator()<Bf16>();
    case Type::kF32: return make.template operator()<float>();
    case Type::kF64: return make.template operator()<double>();
    default: return for_integer(type, make);
  }
}

Execute pick(Type to, Type from) {
  return for_number(to, [from]<typename To>() -> Execute {
    return for_number(from, []<typename From>() -> Execute { return run_convert<To, From>; });
  });
}

/// Two floats into one register, the first operand above.
void pack_pair(const Instruction& i, Frame& f) {  // immediate: Type
  const Type type = static_cast<Type>(i.immediate);
  const FloatFormat format = type == Type::kF16x2 ? kF16Format : type == Type::kBf16x2 ? kBf16Format : type == Type::kE4m3x2 ? kE4m3Format : kE5m2Format;
  const auto element = [&](uint16_t slot) {
    float value = f.get<float>(slot);
    if ((i.count & kRelu) && !std::isnan(value)) value = std::fmax(value, 0.0f);
    if (format.mantissa_bits == 10 && rounding_of(i) == Rounding::kNearest) return uint32_t{float_to_f16(value)};
    if (format.mantissa_bits == 7 && rounding_of(i) == Rounding::kNearest) return uint32_t{float_to_bf16(value)};
    return encode(format, value, rounding_of(i), i.count & kSaturate);
  };
  const int bits = 1 + format.exponent_bits + format.mantissa_bits;
  f.set(i.slot[0], element(i.slot[1]) << bits | element(i.slot[2]));
}

template <bool kIsE4m3>
void unpack_fp8_pair(const Instruction& i, Frame& f) {
  const uint16_t pair = f.get<uint16_t>(i.slot[1]);
  const auto element = [&](uint32_t bits) { return encode(kF16Format, decode(kIsE4m3 ? kE4m3Format : kE5m2Format, bits & 0xFF)); };
  f.set(i.slot[0], element(pair >> 8u) << 16 | element(pair));
}

template <bool kIsE4m3>
void pack_fp8_from_f16(const Instruction& i, Frame& f) {
  const uint32_t pair = f.get<uint32_t>(i.slot[1]);
  const auto element = [&](uint32_t bits) {
    double value = f16_to_float(static_cast<uint16_t>(bits));
    if ((i.count & kRelu) && !std::isnan(value)) value = std::fmax(value, 0.0);
    return encode(kIsE4m3 ? kE4m3Format : kE5m2Format, value, Rounding::kNearest, i.count & kSaturate);
  };
  f.set(i.slot[0], element(pair >> 16) << 8 | element(pair & 0xFFFF));
}

void round_to_tf32(const Instruction& i, Frame& f) {
  f.set(i.slot[0], encode(kTf32Format, f.get<float>(i.slot[1]), rounding_of(i)) << 13);
}

bool is_float(Type type) { return type == Type::kF16 || type == Type::kBf16 || type == Type::kF32 || type == Type::kF64; }

void decode_convert(Decoder& d) {
  const bool to_integer = d.opcode.has_any({"rni", "rzi", "rmi", "rpi"});
  uint8_t flags = static_cast<uint8_t>(d.opcode.take_rounding().value_or(Rounding::kNearest));
  if (d.opcode.take("satfinite") || d.opcode.take("sat")) flags |= kSaturate;
  if (d.opcode.take("ftz")) flags |= kFlush;
  if (d.opcode.take("relu")) flags |= kRelu;
  const Type to = d.type(), from = d.type();
  const bool to_pair = to == Type::kF16x2 || to == Type::kBf16x2 || to == Type::kE4m3x2 || to == Type::kE5m2x2;
  if (to == Type::kF16x2 && (from == Type::kE4m3x2 || from == Type::kE5m2x2)) {
    d.emit_plain(from == Type::kE4m3x2 ? unpack_fp8_pair<true> : unpack_fp8_pair<false>, 1);
  } else if ((to == Type::kE4m3x2 || to == Type::kE5m2x2) && from == Type::kF16x2) {
    d.emit_plain(to == Type::kE4m3x2 ? pack_fp8_from_f16<true> : pack_fp8_from_f16<false>, 1).count = flags;
  } else if (to_pair && from == Type::kF32) {
    Instruction& made = d.emit_plain(pack_pair, 2);
    made.count = flags;
    made.immediate = static_cast<int64_t>(to);
  } else if (to == Type::kTf32 && from == Type::kF32) {
    d.emit_plain(round_to_tf32, 1).count = flags;
  } else {
    if (is_float(to) && is_float(from) && to_integer) flags |= kToInteger;
    d.emit_plain(pick(to, from), 1).count = flags;
  }
}

void shared_to_generic(const Instruction& i, Frame& f) {
  f.slots[i.slot[0]] = reinterpret_cast<uint64_t>(f.shared) + f.slots[i.slot[1]];
}
void generic_to_shared(const Instruction& i, Frame& f) {
  f.slots[i.slot[0]] = f.slots[i.slot[1]] - reinterpret_cast<uint64_t>(f.shared);
}
void same_address(const Instruction& i, Frame& f) { f.slots[i.slot[0]] = f.slots[i.slot[1]]; }

/// Only shared addresses differ from generic ones: they are 32-bit offsets in the block's window.
void decode_address(Decoder& d) {
  const bool to_space = d.opcode.take("to");
  const int space = d.opcode.take_one_of({"shared", "global", "local", "const", "param", "shared::cta"});
  d.opcode.take("cta");
  if (space < 0) d.fail("unknown space");
  d.type();
  const bool shared = space == 0 || space == 5;
  d.emit_plain(!shared ? same_address : to_space ? generic_to_shared : shared_to_generic, 1);
}

void is_shared(const Instruction& i, Frame& f) {
  const auto& shared = current_block->shared;
  f.slots[i.slot[0]] = shared.contains(reinterpret_cast<const void*>(f.slots[i.slot[1]]), 1);
}
void is_global(const Instruction& i, Frame& f) {
  f.slots[i.slot[0]] = !current_block->shared.contains(reinterpret_cast<const void*>(f.slots[i.slot[1]]), 1);
}

}  // namespace

void add_convert_ops(OpcodeTable& table) {
  table["cvt"] = decode_convert;
  table["cvta"] = decode_address;
  table["isspacep"] = [](Decoder& d) {
    const int space = d.opcode.take_one_of({"shared", "global"});
    if (space < 0) d.fail("only shared and global");
    d.emit_plain(space == 0 ? is_shared : is_global, 1);
  };
}

}  // namespace cudasim::ptx
