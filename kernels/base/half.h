// Scalar conversions between float and the floats of 16 and 8 bits, rounded to nearest even; those of f16 are bit-equal to the F16C instructions.
// CUDA's kernels call them too.
#pragma once

#include <bit>
#include <cstdint>

namespace terrace {

inline float bf16_to_float(uint16_t value) { return std::bit_cast<float>(static_cast<uint32_t>(value) << 16); }

inline uint16_t float_to_bf16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x40u);  // keep NaN a quiet NaN
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

constexpr float f16_to_float(uint16_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x8000u) << 16;
  const uint32_t magnitude = value & 0x7fffu;
  if (magnitude >= 0x7c00u) {  // infinity, NaN (quieted as the hardware does)
    const uint32_t mantissa = magnitude & 0x3ffu;
    return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13) | (mantissa != 0 ? 0x400000u : 0u));
  }
  if (magnitude < 0x400u) {  // zero and subnormals: the value is magnitude * 2^-24, exact in float
    const float scaled = static_cast<float>(magnitude) * 0x1p-24f;
    return std::bit_cast<float>(std::bit_cast<uint32_t>(scaled) | sign);
  }
  return std::bit_cast<float>(sign | ((magnitude << 13) + (112u << 23)));
}

constexpr uint16_t float_to_f16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint16_t sign = static_cast<uint16_t>((bits >> 16) & 0x8000u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds beyond 65504
  if (magnitude < 0x38800000u) {                                              // subnormal in f16: let the FPU round at 2^-24
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;              // ulp of 0.5 is 2^-24
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x3f000000u));
  }
  const uint32_t rebased = magnitude - (112u << 23);
  return static_cast<uint16_t>(sign | ((rebased + 0xfffu + ((rebased >> 13) & 1u)) >> 13));
}

/// The smallest f16 that is not below `value`; infinity beyond 65504.
constexpr uint16_t f16_from_above(float value) {
  const uint16_t nearest = float_to_f16(value);
  if (!(f16_to_float(nearest) < value)) return nearest;
  return static_cast<uint16_t>((nearest & 0x8000u) == 0 ? nearest + 1 : nearest - 1);
}

constexpr uint16_t f16_from_below(float value) { return static_cast<uint16_t>(f16_from_above(-value) ^ 0x8000u); }

// f8 is e4m3: a sign, 4 bits of exponent, 3 of mantissa; 2^-6 to 448, steps of 2^-9 below. It has no infinities; 0x7f is NaN. (OCP 8-bit Floating Point Specification, 1.0.)

constexpr float f8_to_float(uint8_t value) {
  const uint32_t sign = static_cast<uint32_t>(value & 0x80u) << 24;
  const uint32_t magnitude = value & 0x7fu;
  if (magnitude == 0x7fu) return std::bit_cast<float>(sign | 0x7fc00000u);
  const float result = magnitude < 8 ? static_cast<float>(magnitude) * 0x1p-9f : std::bit_cast<float>((magnitude << 20) + (120u << 23));
  return std::bit_cast<float>(std::bit_cast<uint32_t>(result) | sign);
}

/// Beyond 448: 448; of an infinity: NaN.
constexpr uint8_t float_to_f8(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = bits >> 24 & 0x80u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude >= 0x7f800000u) return static_cast<uint8_t>(sign | 0x7fu);
  if (magnitude >= 0x43e00000u) return static_cast<uint8_t>(sign | 0x7eu);
  if (magnitude < 0x3c800000u) {                                                // let the FPU round at 2^-9
    const float rounded = std::bit_cast<float>(magnitude) + 0x1p14f;            // ulp of 2^14 is 2^-9
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(rounded) - 0x46800000u));
  }
  const uint32_t rebased = magnitude - (120u << 23);
  return static_cast<uint8_t>(sign | (rebased + 0x7ffffu + (rebased >> 20 & 1u)) >> 20);
}

}  // namespace terrace
