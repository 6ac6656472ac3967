#include <immintrin.h>  // before amx_by_loops.h, which renames parts of it

#include "kernels/base/half.h"
#include "kernels/cpu/attention_pairs.h"
#include "tests/support/kernels/amx_by_loops.h"

#include "kernels/cpu/tile_products.h"
#include "tests/support/kernels/emulated_attention.h"

namespace terrace {
namespace {

struct LoopFloats {
  static constexpr int kWidth = 16;
  float lane[kWidth];

  template <class Function>
  static LoopFloats map(Function function) {
    LoopFloats result;
    for (int i = 0; i < kWidth; ++i) result.lane[i] = function(i);
    return result;
  }
  static LoopFloats broadcast(float value) { return map([&](int) { return value; }); }
  static LoopFloats zero() { return broadcast(0); }
  template <class Element>
  static LoopFloats load(const Element* src) {
    LoopFloats result;
    for (int i = 0; i < kWidth; i += kLanes) ScalarLanes::load(src + i).store(result.lane + i);
    return result;
  }
  static void unpack(const uint8_t* codes, const float* scales, float* to) { ScalarLanes::unpack(codes, scales, to); }
  void store(float* dst) const {
    for (int i = 0; i < kWidth; ++i) dst[i] = lane[i];
  }
  friend LoopFloats operator+(LoopFloats a, LoopFloats b) { return map([&](int i) { return a.lane[i] + b.lane[i]; }); }
  friend LoopFloats operator-(LoopFloats a, LoopFloats b) { return map([&](int i) { return a.lane[i] - b.lane[i]; }); }
  friend LoopFloats operator*(LoopFloats a, LoopFloats b) { return map([&](int i) { return a.lane[i] * b.lane[i]; }); }
  static LoopFloats fma(LoopFloats a, LoopFloats b, LoopFloats c) { return map([&](int i) { return __builtin_fmaf(a.lane[i], b.lane[i], c.lane[i]); }); }
  static LoopFloats max(LoopFloats a, LoopFloats b) { return map([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }); }
  static LoopFloats zero_if_less(LoopFloats a, LoopFloats b, LoopFloats value) { return map([&](int i) { return a.lane[i] < b.lane[i] ? 0.0f : value.lane[i]; }); }
  static LoopFloats scale_by_exponent(LoopFloats value, LoopFloats shifted) {
    return map([&](int i) { return __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, value.lane[i]) + (__builtin_bit_cast(uint32_t, shifted.lane[i]) << 23)); });
  }
  static float sum(LoopFloats a) {
    float total = 0;
    for (const float value : a.lane) total += value;
    return total;
  }
  static float largest(LoopFloats a) {
    float most = a.lane[0];
    for (const float value : a.lane) most = value > most ? value : most;
    return most;
  }
};

float pair_of(float low, float high) { return __builtin_bit_cast(float, uint32_t{float_to_bf16(low)} | uint32_t{float_to_bf16(high)} << 16); }
float half_of(float pair, int half) { return bf16_to_float(static_cast<uint16_t>(__builtin_bit_cast(uint32_t, pair) >> (16 * half))); }

struct LoopPairs {
  using Wide = LoopFloats;
  static constexpr int kWidth = Wide::kWidth;
  Wide floats;

  static LoopPairs zero() { return {Wide::zero()}; }
  static LoopPairs load(const float* from) { return {Wide::load(from)}; }
  static LoopPairs broadcast(float pair) { return {Wide::broadcast(pair)}; }
  void store(float* to) const { floats.store(to); }
  static LoopPairs add_products(LoopPairs sum, LoopPairs a, LoopPairs b) {
    return {Wide::map([&](int i) {
      const float x = a.floats.lane[i], y = b.floats.lane[i];
      return sum.floats.lane[i] + half_of(x, 1) * half_of(y, 1) + half_of(x, 0) * half_of(y, 0);
    })};
  }
  static LoopPairs narrow(Wide low, Wide high) {
    return {Wide::map([&](int i) { return i < 8 ? pair_of(low.lane[2 * i], low.lane[2 * i + 1]) : pair_of(high.lane[2 * i - 16], high.lane[2 * i - 15]); })};
  }
  static LoopPairs zip(Wide first, Wide second) { return {Wide::map([&](int i) { return pair_of(first.lane[i], second.lane[i]); })}; }
};

}  // namespace

const AttentionKernels kLoopPairsAttention = {run_tiles<PairTiles<ScalarLanes, LoopPairs, VectorProducts<LoopPairs>>>, run_merge<ScalarLanes>, run_bounds<ScalarLanes>, run_masses<ScalarLanes>};
const AttentionKernels kLoopTilesAttention = {run_tiles<PairTiles<ScalarLanes, LoopPairs, TileProducts>>, run_merge<ScalarLanes>, run_bounds<ScalarLanes>, run_masses<ScalarLanes>};

}  // namespace terrace
