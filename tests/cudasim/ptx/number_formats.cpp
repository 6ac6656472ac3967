#include "tests/cudasim/ptx/number_formats.h"

#include <array>
#include <bit>
#include <cmath>

namespace cudasim::ptx {

namespace {

/// An integer near `value` by the rounding; value >= 0 here, `negative` its sign.
double round_magnitude(double value, bool negative, Rounding rounding) {
  const double floor = std::floor(value);
  const double rest = value - floor;
  bool up = false;
  switch (rounding) {
    case Rounding::kNearest: up = rest > 0.5 || (rest == 0.5 && std::fmod(floor, 2) == 1); break;
    case Rounding::kNearestAway: up = rest >= 0.5; break;
    case Rounding::kZero: break;
    case Rounding::kDown: up = negative && rest > 0; break;
    case Rounding::kUp: up = !negative && rest > 0; break;
  }
  return floor + (up ? 1 : 0);
}

std::array<float, 65536> make_f16_table() {
  std::array<float, 65536> table{};
  for (uint32_t bits = 0; bits < table.size(); ++bits) table[bits] = static_cast<float>(decode(kF16Format, bits));
  return table;
}

}  // namespace

uint32_t encode(FloatFormat format, double value, Rounding rounding, bool saturate) {
  const uint32_t sign = std::signbit(value) ? 1u << (format.exponent_bits + format.mantissa_bits) : 0;
  const uint32_t all_ones = (1u << (format.exponent_bits + format.mantissa_bits)) - 1;
  const uint32_t infinity = all_ones - (1u << format.mantissa_bits) + 1;
  // PTX: a NaN becomes the canonical NaN, which has all bits but the sign set.
  if (std::isnan(value)) return all_ones;
  const uint32_t largest = format.has_infinity ? infinity - 1 : all_ones - 1;
  const uint32_t overflow = saturate || !format.has_infinity ? largest : infinity;
  if (std::isinf(value)) return sign | overflow;
  if (value == 0) return sign;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const int exponent = std::max(std::ilogb(value), 1 - bias);  // subnormals share the least exponent
  const double steps = round_magnitude(std::ldexp(std::fabs(value), format.mantissa_bits - exponent), sign != 0, rounding);
  // A mantissa that rounds up to the next power of two carries into the exponent by itself.
  const double bits = std::ldexp(exponent + bias - 1, format.mantissa_bits) + steps;
  if (bits <= largest) return sign | static_cast<uint32_t>(bits);
  const bool towards_zero = rounding == Rounding::kZero || (rounding == Rounding::kDown && !sign) || (rounding == Rounding::kUp && sign);
  return sign | (towards_zero ? largest : overflow);
}

double decode(FloatFormat format, uint32_t bits) {
  const uint32_t exponent = bits >> format.mantissa_bits & ((1u << format.exponent_bits) - 1);
  const uint32_t mantissa = bits & ((1u << format.mantissa_bits) - 1);
  const double sign = bits >> (format.exponent_bits + format.mantissa_bits) & 1 ? -1 : 1;
  const int bias = (1 << (format.exponent_bits - 1)) - 1;
  const bool top = exponent == (1u << format.exponent_bits) - 1;
  if (top && format.has_infinity) return mantissa ? std::nan("") : sign * HUGE_VAL;
  if (top && mantissa == (1u << format.mantissa_bits) - 1) return std::nan("");
  if (exponent == 0) return sign * std::ldexp(mantissa, 1 - bias - format.mantissa_bits);
  return sign * std::ldexp(mantissa + (1u << format.mantissa_bits), static_cast<int>(exponent) - bias - format.mantissa_bits);
}

float f16_to_float(uint16_t bits) {
  static const std::array<float, 65536> table = make_f16_table();
  return table[bits];
}

uint16_t float_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000;
  const uint32_t magnitude = bits & 0x7FFFFFFF;
  if (magnitude > 0x7F800000) return 0x7FFF;
  if (magnitude >= 0x47800000) return static_cast<uint16_t>(sign | 0x7C00);  // 65536 and above
  if (magnitude < 0x38800000) {                                              // below 2^-14: adding 1/2 leaves the rounded multiple of 2^-24 in the low bits
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000));
  }
  return static_cast<uint16_t>(sign | ((magnitude - 0x38000000 + 0xFFF + (magnitude >> 13 & 1)) >> 13));
}

uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return 0x7FFF;
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

float round_to_odd(double value) {
  const float nearest = static_cast<float>(value);
  const uint32_t bits = std::bit_cast<uint32_t>(nearest);
  if (static_cast<double>(nearest) == value || std::isnan(value) || (bits & 1)) return nearest;
  return std::bit_cast<float>(std::fabs(value) > std::fabs(nearest) ? bits + 1 : bits - 1);
}

double fma_for_rounding(double a, double b, double c) {
  const double product = a * b;
  const double sum = product + c;
  if (!std::isfinite(sum)) return sum;
  const double part = sum - product;  // Knuth's two-sum: the rounding error of the addition, exactly
  const double error = (product - (sum - part)) + (c - part);
  const uint64_t bits = std::bit_cast<uint64_t>(sum);
  if (error == 0 || (bits & 1)) return sum;
  return std::bit_cast<double>((error > 0) == (sum > 0) ? bits + 1 : bits - 1);
}

}  // namespace cudasim::ptx
