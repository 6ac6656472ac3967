// f32 and f64: add sub mul fma div min max abs neg sqrt rcp rsqrt ex2 lg2 sin cos tanh copysign testp. Approximations are the C library's results: a device may differ in the last 2 bits.
#include <cfenv>
#include <cmath>

#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

struct Add {
  template <typename T> T operator()(T a, T b) const { return a + b; }
};
struct Subtract {
  template <typename T> T operator()(T a, T b) const { return a - b; }
};
struct Multiply {
  template <typename T> T operator()(T a, T b) const { return a * b; }
};
struct Divide {
  template <typename T> T operator()(T a, T b) const { return a / b; }
};
struct MultiplyAdd {
  template <typename T> T operator()(T a, T b, T c) const { return std::fma(a, b, c); }
};
struct Minimum {  // of a number and NaN: the number; -0 < +0
  template <typename T> T operator()(T a, T b) const {
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    return a < b || (a == b && std::signbit(a)) ? a : b;
  }
};
struct Maximum {
  template <typename T> T operator()(T a, T b) const {
    if (std::isnan(a)) return b;
    if (std::isnan(b)) return a;
    return a > b || (a == b && !std::signbit(a)) ? a : b;
  }
};
struct MinimumOrNan {
  template <typename T> T operator()(T a, T b) const { return std::isnan(a) || std::isnan(b) ? std::numeric_limits<T>::quiet_NaN() : Minimum()(a, b); }
};
struct MaximumOrNan {
  template <typename T> T operator()(T a, T b) const { return std::isnan(a) || std::isnan(b) ? std::numeric_limits<T>::quiet_NaN() : Maximum()(a, b); }
};
struct CopySign {  // PTX: the sign of a, the magnitude of b
  template <typename T> T operator()(T a, T b) const { return std::copysign(b, a); }
};
struct Absolute {
  template <typename T> T operator()(T a) const { return std::fabs(a); }
};
struct Negate {
  template <typename T> T operator()(T a) const { return -a; }
};
struct SquareRoot {
  template <typename T> T operator()(T a) const { return std::sqrt(a); }
};
struct Reciprocal {
  template <typename T> T operator()(T a) const { return 1 / a; }
};
struct ReciprocalRoot {
  template <typename T> T operator()(T a) const { return 1 / std::sqrt(a); }
};
struct Exp2 {
  template <typename T> T operator()(T a) const { return std::exp2(a); }
};
struct Log2 {
  template <typename T> T operator()(T a) const { return std::log2(a); }
};
struct Sine {
  template <typename T> T operator()(T a) const { return std::sin(a); }
};
struct Cosine {
  template <typename T> T operator()(T a) const { return std::cos(a); }
};
struct Tangent {
  template <typename T> T operator()(T a) const { return std::tanh(a); }
};

constexpr uint8_t kRoundingBits = 7, kFlush = 8, kSaturate = 16;  // Instruction::count

template <typename T>
T flushed(T value, uint8_t flags) {
  return (flags & kFlush) && std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(T{0}, value) : value;
}

template <typename T>
T finished(T value, uint8_t flags) {
  value = flushed(value, flags);
  return flags & kSaturate ? (value > 0 ? std::fmin(value, T{1}) : T{0}) : value;  // NaN: 0
}

int rounding_of(uint8_t flags) {
  switch (static_cast<Rounding>(flags & kRoundingBits)) {
    case Rounding::kZero: return FE_TOWARDZERO;
    case Rounding::kDown: return FE_DOWNWARD;
    case Rounding::kUp: return FE_UPWARD;
    default: return FE_TONEAREST;
  }
}

/// What has a rounding of its own, .ftz or .sat. Volatile: the compiler must not compute outside of the two fesetround().
template <typename T, typename Function, int kOperands>
void run_special(const Instruction& i, Frame& f) {
  volatile T a = flushed(f.get<T>(i.slot[1]), i.count);
  volatile T b = kOperands > 1 ? flushed(f.get<T>(i.slot[2]), i.count) : T{};
  volatile T c = kOperands > 2 ? flushed(f.get<T>(i.slot[3]), i.count) : T{};
  const int rounding = rounding_of(i.count);
  if (rounding != FE_TONEAREST) std::fesetround(rounding);
  volatile T result;
  if constexpr (kOperands == 1) {
    result = Function()(T{a});
  } else if constexpr (kOperands == 2) {
    result = Function()(T{a}, T{b});
  } else {
    result = Function()(T{a}, T{b}, T{c});
  }
  if (rounding != FE_TONEAREST) std::fesetround(FE_TONEAREST);
  f.set(i.slot[0], finished(T{result}, i.count));
}

template <typename T, typename Function, int kOperands>
Execute pick(bool special) {
  if (special) return run_special<T, Function, kOperands>;
  if constexpr (kOperands == 1) return run_unary<T, Function>;
  if constexpr (kOperands == 2) return run_binary<T, Function>;
  if constexpr (kOperands == 3) return run_ternary<T, Function>;
}

template <typename Function, int kOperands>
void decode(Decoder& d) {
  const Rounding rounding = d.opcode.take_rounding().value_or(Rounding::kNearest);
  d.opcode.take("approx");
  d.opcode.take("full");
  uint8_t flags = static_cast<uint8_t>(rounding);
  if (d.opcode.take("ftz")) flags |= kFlush;
  if (d.opcode.take("sat")) flags |= kSaturate;
  const Execute execute = d.type() == Type::kF32 ? pick<float, Function, kOperands>(flags != 0) : pick<double, Function, kOperands>(flags != 0);
  d.emit_plain(execute, kOperands).count = flags;
}

template <typename Plain, typename OrNan>
void decode_extremum(Decoder& d) {
  if (d.opcode.take("NaN")) {
    decode<OrNan, 2>(d);
  } else {
    decode<Plain, 2>(d);
  }
}

template <typename T>
void test_property(const Instruction& i, Frame& f) {
  const T a = f.get<T>(i.slot[1]);
  const bool results[] = {std::isfinite(a), std::isinf(a), !std::isnan(a), std::isnan(a), std::isnormal(a), std::fpclassify(a) == FP_SUBNORMAL || a == 0};
  f.set(i.slot[0], static_cast<uint8_t>(results[i.count]));
}

void decode_test(Decoder& d) {
  const int property = d.opcode.take_one_of({"finite", "infinite", "number", "notanumber", "normal", "subnormal"});
  if (property < 0) d.fail("unknown property");
  d.emit_plain(d.type() == Type::kF32 ? test_property<float> : test_property<double>, 1).count = static_cast<uint8_t>(property);
}

}  // namespace

void add_float_ops(OpcodeTable& table) {
  table["add.float"] = decode<Add, 2>;
  table["sub.float"] = decode<Subtract, 2>;
  table["mul.float"] = decode<Multiply, 2>;
  table["div.float"] = decode<Divide, 2>;
  table["fma.float"] = table["mad.float"] = decode<MultiplyAdd, 3>;
  table["min.float"] = decode_extremum<Minimum, MinimumOrNan>;
  table["max.float"] = decode_extremum<Maximum, MaximumOrNan>;
  table["copysign.float"] = decode<CopySign, 2>;
  table["abs.float"] = decode<Absolute, 1>;
  table["neg.float"] = decode<Negate, 1>;
  table["sqrt.float"] = decode<SquareRoot, 1>;
  table["rcp.float"] = decode<Reciprocal, 1>;
  table["rsqrt.float"] = decode<ReciprocalRoot, 1>;
  table["ex2.float"] = decode<Exp2, 1>;
  table["lg2.float"] = decode<Log2, 1>;
  table["sin.float"] = decode<Sine, 1>;
  table["cos.float"] = decode<Cosine, 1>;
  table["tanh.float"] = decode<Tangent, 1>;
  table["testp.float"] = decode_test;
}

}  // namespace cudasim::ptx
