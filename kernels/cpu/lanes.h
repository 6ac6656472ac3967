// Eight floats that are worked on together: the unit in which every float kernel of the CPU backend is written, once,
// as a template over a Lanes type. ScalarLanes (here) is the reference and runs anywhere; Avx2Lanes (lanes_avx2.h) is
// one register. Both do the same operations in the same order, so a kernel yields equal bits with either (LAW 4).
//
// Included by ISA-specific files: no STL templates here. Everything is a member of a class in an anonymous namespace,
// so that no copy compiled for one ISA can be linked into another's code.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/half.h"
#include "kernels/kv_format.h"

namespace terrace {

inline constexpr int kLanes = 8;

// Numbers as they lie in KV pages.
struct F16 {
  uint16_t bits;
};
struct BF16 {
  uint16_t bits;
};
struct Q8 {
  int8_t code;  // times the row's scale
};
struct F8 {
  uint8_t bits;
};
/// Byte of a row of 4-bit codes (kv_format.h), which is read by the run only: Lanes::unpack(), q4_row.h.
struct Q4 {
  uint8_t codes;
};
/// What a row of such codes was turned into: a float that is not in a page.
struct Unpacked {
  float value;
};

namespace {

/// Whether rows of such numbers have a scale.
template <class Element>
inline constexpr bool kHasScale = false;
template <>
inline constexpr bool kHasScale<Q8> = true;

/// Whether rows are turned into floats before they are used.
template <class Element>
inline constexpr bool kIsPacked = false;
template <>
inline constexpr bool kIsPacked<Q4> = true;

template <class Element>
constexpr size_t bytes_of_row(int32_t dims) {
  return static_cast<size_t>(kIsPacked<Element> ? q4_code_bytes(dims) : dims) * sizeof(Element);
}

struct ScalarLanes {
  static constexpr int kWidth = kLanes;
  float lane[kLanes];

  static ScalarLanes broadcast(float value) {
    return map([value](int) { return value; });
  }
  static ScalarLanes zero() { return broadcast(0.0f); }
  static ScalarLanes load(const float* src) {
    return map([src](int i) { return src[i]; });
  }
  static ScalarLanes load(const F16* src) {
    return map([src](int i) { return f16_to_float(src[i].bits); });
  }
  static ScalarLanes load(const BF16* src) {
    return map([src](int i) { return bf16_to_float(src[i].bits); });
  }
  static ScalarLanes load(const Q8* src) {
    return map([src](int i) { return static_cast<float>(src[i].code); });
  }
  static ScalarLanes load(const F8* src) {
    return map([src](int i) { return f8_to_float(src[i].bits); });
  }
  static ScalarLanes load(const Unpacked* src) { return load(&src->value); }
  /// 32 dims of a row of 4-bit codes: levels times the run's two scales; every vector type has it.
  static void unpack(const uint8_t* codes, const float* scales, float* to) {
    for (int i = 0; i < kQ4Run; ++i) {
      const int code = i < kQ4Run / 2 ? codes[i] & 15 : codes[i - kQ4Run / 2] >> 4;
      to[i] = static_cast<float>(kQ4Levels[code]) * scales[i / (kQ4Run / 2)];
    }
  }
  void store(float* dst) const {
    for (int i = 0; i < kLanes; ++i) dst[i] = lane[i];
  }
  void store(F16* dst) const {
    for (int i = 0; i < kLanes; ++i) dst[i].bits = float_to_f16(lane[i]);
  }
  void store(BF16* dst) const {
    for (int i = 0; i < kLanes; ++i) dst[i].bits = float_to_bf16(lane[i]);
  }
  void store(F8* dst) const {
    for (int i = 0; i < kLanes; ++i) dst[i].bits = float_to_f8(lane[i]);
  }
  float first() const { return lane[0]; }

  friend ScalarLanes operator+(ScalarLanes a, ScalarLanes b) {
    return map([&](int i) { return a.lane[i] + b.lane[i]; });
  }
  friend ScalarLanes operator-(ScalarLanes a, ScalarLanes b) {
    return map([&](int i) { return a.lane[i] - b.lane[i]; });
  }
  friend ScalarLanes operator*(ScalarLanes a, ScalarLanes b) {
    return map([&](int i) { return a.lane[i] * b.lane[i]; });
  }
  friend ScalarLanes operator/(ScalarLanes a, ScalarLanes b) {
    return map([&](int i) { return a.lane[i] / b.lane[i]; });
  }
  /// a * b + c, rounded once.
  static ScalarLanes fma(ScalarLanes a, ScalarLanes b, ScalarLanes c) {
    return map([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); });
  }
  /// NaN in `b` wins, as in the instruction.
  static ScalarLanes max(ScalarLanes a, ScalarLanes b) {
    return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
  }
  /// Per lane: a < b ? yes : no.
  static ScalarLanes select_less(ScalarLanes a, ScalarLanes b, ScalarLanes yes, ScalarLanes no) {
    return map([&](int i) { return a.lane[i] < b.lane[i] ? yes.lane[i] : no.lane[i]; });
  }
  /// Per lane: a < b ? 0 : value.
  static ScalarLanes zero_if_less(ScalarLanes a, ScalarLanes b, ScalarLanes value) {
    return map([&](int i) { return a.lane[i] < b.lane[i] ? 0.0f : value.lane[i]; });
  }
  /// value * 2^n, where the low bits of `shifted` hold the integer n; the result must be a normal number.
  static ScalarLanes scale_by_exponent(ScalarLanes value, ScalarLanes shifted) {
    return map([&](int i) {
      const uint32_t exponent = __builtin_bit_cast(uint32_t, shifted.lane[i]) << 23;
      return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value.lane[i]) + exponent);
    });
  }
  /// Lane j of x[i] becomes lane i of x[j].
  static void transpose(ScalarLanes (&x)[kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const float value = x[i].lane[j];
        x[i].lane[j] = x[j].lane[i];
        x[j].lane[i] = value;
      }
    }
  }
  /// Lanes 1 0 3 2 5 4 7 6.
  static ScalarLanes swap_pairs(ScalarLanes a) {
    return map([&](int i) { return a.lane[i ^ 1]; });
  }
  /// The one order in which lanes are added: ((0+2)+(1+3)) + ((4+6)+(5+7)).
  static float sum(ScalarLanes a) {
    const float* x = a.lane;
    return ((x[0] + x[2]) + (x[1] + x[3])) + ((x[4] + x[6]) + (x[5] + x[7]));
  }
  /// dst[0..3] = the sums of four vectors.
  static void sum4(ScalarLanes a, ScalarLanes b, ScalarLanes c, ScalarLanes d, float* dst) {
    dst[0] = sum(a);
    dst[1] = sum(b);
    dst[2] = sum(c);
    dst[3] = sum(d);
  }
  static float largest(ScalarLanes a) {
    float result = a.lane[0];
    for (int i = 1; i < kLanes; ++i) result = a.lane[i] > result ? a.lane[i] : result;
    return result;
  }
  static float square_root(float value) { return __builtin_sqrtf(value); }

 private:
  template <class Function>
  static ScalarLanes map(Function function) {
    ScalarLanes result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = function(i);
    return result;
  }
};

}  // namespace
}  // namespace terrace
