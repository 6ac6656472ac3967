// Vectors of 32-bit lanes that hold two 16-bit integers each, the unit of attention's products (attention_products.h). Sums of such products
// are exact, so vectors of any width yield the same ones (LAW 4). ScalarPairs runs anywhere; twins: pairs_avx2.h, pairs_avx512.h. Rules for
// code: lanes.h.
#pragma once

#include "kernels/cpu/lanes.h"

namespace terrace {

inline constexpr int32_t kPairGroup = 16;  // lanes that belong together whatever the vector's width

namespace {

/// Adding this leaves an integer below 2^15 in the low 16 bits, rounded to even.
inline constexpr float kIntegerShift = 0x1.8p23f;

struct ScalarPairs {
  static constexpr int kWidth = kLanes;
  uint32_t lane[kLanes];  // unsigned: rows that no one sees may hold anything, and overflow

  static ScalarPairs zero() { return {}; }
  static ScalarPairs load(const int32_t* src) {
    ScalarPairs result;
    __builtin_memcpy(result.lane, src, sizeof result.lane);
    return result;
  }
  void store(int32_t* dst) const { __builtin_memcpy(dst, lane, sizeof lane); }
  static ScalarPairs broadcast(int32_t pair) {
    ScalarPairs result;
    for (uint32_t& each : result.lane) each = static_cast<uint32_t>(pair);
    return result;
  }
  /// sum + the products of both halves.
  static ScalarPairs add_products(ScalarPairs sum, ScalarPairs a, ScalarPairs b) {
    for (int i = 0; i < kLanes; ++i) {
      const int32_t low = int32_t{static_cast<int16_t>(a.lane[i])} * static_cast<int16_t>(b.lane[i]);
      const int32_t high = int32_t{static_cast<int16_t>(a.lane[i] >> 16)} * static_cast<int16_t>(b.lane[i] >> 16);
      sum.lane[i] += static_cast<uint32_t>(low) + static_cast<uint32_t>(high);
    }
    return sum;
  }
  static void pin(ScalarPairs&) {}
  /// Pairs of the integers in two vectors of floats, to which kIntegerShift was added.
  static ScalarPairs join(ScalarLanes low, ScalarLanes high) {
    ScalarPairs result;
    for (int i = 0; i < kLanes; ++i)
      result.lane[i] = (__builtin_bit_cast(uint32_t, low.lane[i]) & 0xffffu) | __builtin_bit_cast(uint32_t, high.lane[i]) << 16;
    return result;
  }
  /// Eight pairs of sixteen such floats: i with i + 8.
  static void store_halves(const ScalarLanes (&x)[2], int32_t* dst) { join(x[0], x[1]).store(dst); }
  /// The lanes as numbers.
  ScalarLanes floats() const {
    ScalarLanes result;
    for (int i = 0; i < kLanes; ++i) result.lane[i] = static_cast<float>(static_cast<int32_t>(lane[i]));
    return result;
  }
  /// Lane j of x[i] becomes lane i of x[j].
  static void transpose(ScalarPairs (&x)[kLanes]) {
    for (int i = 0; i < kLanes; ++i) {
      for (int j = 0; j < i; ++j) {
        const uint32_t value = x[i].lane[j];
        x[i].lane[j] = x[j].lane[i];
        x[j].lane[i] = value;
      }
    }
  }
  /// The largest of n elements of each of 16 rows, in size.
  template <class Half>
  static void largest_halves(const Half* const* rows, int32_t n, ScalarLanes (&largest)[2]) {
    Half bits[2 * kLanes];  // without the sign, 16-bit floats are ordered as integers
    for (int i = 0; i < 2 * kLanes; ++i) {
      uint16_t most = 0;
      for (int32_t d = 0; d < n; ++d) {
        const auto size = static_cast<uint16_t>(rows[i][d].bits & 0x7fffu);
        most = size > most ? size : most;
      }
      bits[i].bits = most;
    }
    for (int i = 0; i < 2; ++i) largest[i] = ScalarLanes::load(bits + i * kLanes);
  }
};

/// What kernels of an ISA are templates over.
struct ScalarVectors {
  using Lanes = ScalarLanes;  // eight, where lanes meet
  using Wide = ScalarLanes;   // as many as the ISA has, where they don't
  using Pairs = ScalarPairs;  // as many as Wide
  using LanePairs = ScalarPairs;  // as many as Lanes
};

}  // namespace
}  // namespace terrace
