// The 16-bit and 8-bit floating-point formats: conversion with every rounding PTX has. Pure functions.
// f16: IEEE. bf16: the upper half of a float. e4m3: 1-4-3 bits, bias 7, no infinity, 0x7F is NaN. e5m2: 1-5-2 bits, bias 15, as f16 cut short (OCP 8-bit floating point specification).
#pragma once

#include <cstdint>

namespace cudasim::ptx {

enum class Rounding : uint8_t { kNearest, kZero, kDown, kUp, kNearestAway };  // .rn .rz .rm .rp .rna

struct FloatFormat {
  int exponent_bits, mantissa_bits;
  bool has_infinity = true;
};
constexpr FloatFormat kF16Format{5, 10}, kBf16Format{8, 7}, kE4m3Format{4, 3, false}, kE5m2Format{5, 2}, kTf32Format{8, 10};

/// The nearest number of the format by `rounding`. What is too large becomes infinity, or with `saturate` (and where there is no infinity) the largest number; NaN the canonical NaN.
uint32_t encode(FloatFormat format, double value, Rounding rounding = Rounding::kNearest, bool saturate = false);
/// Exact.
double decode(FloatFormat format, uint32_t bits);

float f16_to_float(uint16_t bits);
inline float bf16_to_float(uint16_t bits) { return __builtin_bit_cast(float, static_cast<uint32_t>(bits) << 16); }
/// encode(kF16Format, value) and encode(kBf16Format, value), fast.
uint16_t float_to_f16(float value);
uint16_t float_to_bf16(float value);

/// The float that rounds to any format of at most 22 bits as `value` does: cut off, and odd in the last place if inexact (Boldo and Melquiond, "When double rounding is odd").
float round_to_odd(double value);
/// a * b + c as if rounded to a format of at most 11 bits from the exact value: to odd in the last place of a double. a * b must be exact in a double.
double fma_for_rounding(double a, double b, double c);

}  // namespace cudasim::ptx
