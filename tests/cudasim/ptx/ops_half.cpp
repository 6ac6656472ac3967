// f16, bf16 and their pairs: each result is the exact value rounded once. Float and double results are wide enough for that (24 >= 2 * 11 + 2 bits), fma has its own way.
#include <cmath>

#include "tests/cudasim/ptx/ops.h"

namespace cudasim::ptx {

namespace {

struct F16 {
  static double widen(uint16_t bits) { return f16_to_float(bits); }
  static uint16_t narrow(double value) { return float_to_f16(round_to_odd(value)); }
};
struct Bf16 {
  static double widen(uint16_t bits) { return bf16_to_float(bits); }
  static uint16_t narrow(double value) { return float_to_bf16(round_to_odd(value)); }
};

struct Add {
  double operator()(double a, double b) const { return a + b; }
};
struct Subtract {
  double operator()(double a, double b) const { return a - b; }
};
struct Multiply {
  double operator()(double a, double b) const { return a * b; }
};
struct MultiplyAdd {
  double operator()(double a, double b, double c) const { return fma_for_rounding(a, b, c); }
};
struct Minimum {
  double operator()(double a, double b) const { return std::isnan(a) ? b : std::isnan(b) ? a : a < b || (a == b && std::signbit(a)) ? a : b; }
};
struct Maximum {
  double operator()(double a, double b) const { return std::isnan(a) ? b : std::isnan(b) ? a : a > b || (a == b && !std::signbit(a)) ? a : b; }
};
struct MinimumOrNan {
  double operator()(double a, double b) const { return std::isnan(a) || std::isnan(b) ? std::nan("") : Minimum()(a, b); }
};
struct MaximumOrNan {
  double operator()(double a, double b) const { return std::isnan(a) || std::isnan(b) ? std::nan("") : Maximum()(a, b); }
};
struct Exp2 {
  double operator()(double a) const { return std::exp2(a); }
};
struct Tangent {
  double operator()(double a) const { return std::tanh(a); }
};

constexpr uint8_t kRelu = 1, kSaturate = 2;

template <typename Format>
uint16_t finish(double value, uint8_t flags) {
  if ((flags & kRelu) && !std::isnan(value)) value = std::fmax(value, 0.0);
  if (flags & kSaturate) value = value > 0 ? std::fmin(value, 1.0) : 0.0;
  return Format::narrow(value);
}

template <typename Format, typename Function, int kOperands, int kElements>
void run(const Instruction& i, Frame& f) {
  uint32_t result = 0;
  for (int e = 0; e < kElements; ++e) {
    const auto value = [&](int operand) { return Format::widen(static_cast<uint16_t>(f.slots[i.slot[operand]] >> (16 * e))); };
    double exact;
    if constexpr (kOperands == 1) {
      exact = Function()(value(1));
    } else if constexpr (kOperands == 2) {
      exact = Function()(value(1), value(2));
    } else {
      exact = Function()(value(1), value(2), value(3));
    }
    result |= static_cast<uint32_t>(finish<Format>(exact, i.count)) << (16 * e);
  }
  f.set(i.slot[0], result);
}

template <int kElements, bool kNegate>
void change_sign(const Instruction& i, Frame& f) {
  constexpr uint32_t kSigns = kElements == 2 ? 0x80008000 : 0x8000;
  const uint32_t value = f.get<uint32_t>(i.slot[1]);
  f.set(i.slot[0], kNegate ? value ^ kSigns : value & ~kSigns);
}

template <typename Function, int kOperands>
Execute pick(Type type) {
  switch (type) {
    case Type::kF16: return run<F16, Function, kOperands, 1>;
    case Type::kF16x2: return run<F16, Function, kOperands, 2>;
    case Type::kBf16: return run<Bf16, Function, kOperands, 1>;
    case Type::kBf16x2: return run<Bf16, Function, kOperands, 2>;
    default: return nullptr;
  }
}

template <typename Function, int kOperands>
void decode(Decoder& d) {
  d.opcode.take_one_of({"rn"});
  d.opcode.take("approx");
  d.opcode.take("ftz");  // 16-bit subnormals that come in or out: kept here; sm_80 kernels don't ask for it but in ex2.approx.ftz.bf16, where none arise
  uint8_t flags = 0;
  if (d.opcode.take("relu")) flags |= kRelu;
  if (d.opcode.take("sat")) flags |= kSaturate;
  d.emit_plain(pick<Function, kOperands>(d.type()), kOperands).count = flags;
}

template <typename Plain, typename OrNan>
void decode_extremum(Decoder& d) {
  if (d.opcode.take("NaN")) {
    decode<OrNan, 2>(d);
  } else {
    decode<Plain, 2>(d);
  }
}

template <bool kNegate>
void decode_sign(Decoder& d) {
  d.opcode.take("ftz");
  const Type type = d.type();
  const bool pair = type == Type::kF16x2 || type == Type::kBf16x2;
  d.emit_plain(pair ? change_sign<2, kNegate> : change_sign<1, kNegate>, 1);
}

}  // namespace

void add_half_ops(OpcodeTable& table) {
  table["add.half"] = decode<Add, 2>;
  table["sub.half"] = decode<Subtract, 2>;
  table["mul.half"] = decode<Multiply, 2>;
  table["fma.half"] = decode<MultiplyAdd, 3>;
  table["min.half"] = decode_extremum<Minimum, MinimumOrNan>;
  table["max.half"] = decode_extremum<Maximum, MaximumOrNan>;
  table["ex2.half"] = decode<Exp2, 1>;
  table["tanh.half"] = decode<Tangent, 1>;
  table["neg.half"] = decode_sign<true>;
  table["abs.half"] = decode_sign<false>;
}

}  // namespace cudasim::ptx
