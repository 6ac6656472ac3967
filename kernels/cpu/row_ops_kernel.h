// The bodies of RowOps, written once for every ISA (lanes.h).
#pragma once

#include "kernels/cpu/float_math.h"
#include "kernels/cpu/q4_row.h"
#include "kernels/cpu/row_ops.h"

namespace terrace {
namespace {

template <class Lanes>
struct RowKernels {
  static constexpr float kMinusInfinity = -__builtin_inff();

  /// The last count % 8 values, filled up.
  static Lanes load_tail(const float* src, int64_t count, float fill) {
    float padded[kLanes];
    for (int64_t i = 0; i < kLanes; ++i) padded[i] = i < count ? src[i] : fill;
    return Lanes::load(padded);
  }
  static void store_tail(Lanes value, int64_t count, float* dst) {
    float padded[kLanes];
    value.store(padded);
    for (int64_t i = 0; i < count; ++i) dst[i] = padded[i];
  }

  /// x[i] = function(x[i], y[i]), eight at a time.
  template <class Function>
  static void update(float* x, const float* y, int64_t count, Function function) {
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) function(Lanes::load(x + i), Lanes::load(y + i)).store(x + i);
    if (i < count)
      store_tail(function(load_tail(x + i, count - i, 0), load_tail(y + i, count - i, 0)), count - i, x + i);
  }

  static float sum_of_squares(const float* x, int64_t count) {
    Lanes sum[4] = {Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()};
    int64_t i = 0;
    for (int turn = 0; i < count; i += kLanes, turn = (turn + 1) % 4) {
      const Lanes value = i + kLanes <= count ? Lanes::load(x + i) : load_tail(x + i, count - i, 0);
      sum[turn] = Lanes::fma(value, value, sum[turn]);
    }
    return Lanes::sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
  }

  static void rms_norm(const float* x, const float* weight, int64_t count, float eps, float* out) {
    const float mean = sum_of_squares(x, count) / static_cast<float>(count);
    const float inverse = 1.0f / Lanes::square_root(mean + eps);
    const Lanes factor = Lanes::broadcast(inverse);
    int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) (Lanes::load(x + i) * factor * Lanes::load(weight + i)).store(out + i);
    for (; i < count; ++i) out[i] = x[i] * inverse * weight[i];
  }

  static void add(float* x, const float* delta, int64_t count) {
    update(x, delta, count, [](Lanes a, Lanes b) { return a + b; });
  }
  static void scale(float* x, float factor, int64_t count) {
    const Lanes f = Lanes::broadcast(factor);
    update(x, x, count, [f](Lanes a, Lanes) { return a * f; });
  }
  static void silu_gate(float* gate, const float* up, int64_t count) {
    update(gate, up, count, [](Lanes g, Lanes u) { return silu(g) * u; });
  }
  static void gelu_gate(float* gate, const float* up, int64_t count) {
    update(gate, up, count, [](Lanes g, Lanes u) { return gelu_tanh(g) * u; });
  }

  static void rotate_pairs(float* x, const float* cos, const float* sin, int32_t rotary_dim) {
    int32_t d = 0;
    for (; d + kLanes <= rotary_dim; d += kLanes) {
      const Lanes own = Lanes::load(x + d);
      Lanes::fma(own, Lanes::load(cos + d), Lanes::swap_pairs(own) * Lanes::load(sin + d)).store(x + d);
    }
    for (; d < rotary_dim; d += 2) rotate_one(x[d], x[d + 1], cos + d, sin + d, 1);
  }
  static void rotate_halves(float* x, const float* cos, const float* sin, int32_t rotary_dim) {
    const int32_t half = rotary_dim / 2;
    int32_t d = 0;
    for (; d + kLanes <= half; d += kLanes) {
      const Lanes low = Lanes::load(x + d);
      const Lanes high = Lanes::load(x + half + d);
      Lanes::fma(low, Lanes::load(cos + d), high * Lanes::load(sin + d)).store(x + d);
      Lanes::fma(high, Lanes::load(cos + half + d), low * Lanes::load(sin + half + d)).store(x + half + d);
    }
    for (; d < half; ++d) rotate_one(x[d], x[half + d], cos + d, sin + d, half);
  }
  static void rotate_one(float& a, float& b, const float* cos, const float* sin, int32_t partner) {
    const float old = a;
    a = __builtin_fmaf(old, cos[0], b * sin[0]);
    b = __builtin_fmaf(b, cos[partner], old * sin[partner]);
  }

  template <class Element>
  static void store_as(const float* src, int32_t count, Element* dst) {
    int32_t i = 0;
    for (; i + kLanes <= count; i += kLanes) Lanes::load(src + i).store(dst + i);
    if (i == count) return;
    Element tail[kLanes];
    load_tail(src + i, count - i, 0).store(tail);
    for (int32_t j = i; j < count; ++j) dst[j] = tail[j - i];
  }
  static void rotate_hadamard(float* x, int32_t count, int32_t dims) {
    const float factor = 1.0f / Lanes::square_root(static_cast<float>(dims));
    for (int32_t half = 1; half < dims; half *= 2) {
      for (int32_t begin = 0; begin < count; begin += 2 * half) {
        for (int32_t i = begin; i < begin + half; ++i) {
          const float left = x[i], right = x[i + half];
          x[i] = left + right;
          x[i + half] = left - right;
        }
      }
    }
    for (int32_t i = 0; i < count; ++i) x[i] *= factor;
  }

  /// The largest value becomes 127; ties go to the even integer.
  static void quantise(const float* src, int32_t count, Q8* dst, float* scale) {
    const auto load = [&](int32_t i) {
      return i + kLanes <= count ? Lanes::load(src + i) : load_tail(src + i, count - i, 0);
    };
    Lanes most = Lanes::zero(), poison = Lanes::zero();
    for (int32_t i = 0; i < count; i += kLanes) {
      const Lanes x = load(i);
      most = Lanes::max(Lanes::max(x, Lanes::zero() - x), most);
      poison = Lanes::fma(x, Lanes::zero(), poison);  // NaN of NaN or infinity
    }
    const float largest = Lanes::largest(most);
    *scale = largest / 127.0f + Lanes::sum(poison);
    const Lanes inverse = Lanes::broadcast(largest > 1e-30f ? 127.0f / largest : 0.0f);
    const Lanes rounder = Lanes::broadcast(0x1.8p23f);  // leaves the integer in the low bits
    for (int32_t i = 0; i < count; i += kLanes) {
      float rounded[kLanes];
      Lanes::fma(load(i), inverse, rounder).store(rounded);
      for (int32_t j = 0; j < kLanes && i + j < count; ++j)
        dst[i + j].code = static_cast<int8_t>(__builtin_bit_cast(uint32_t, rounded[j]));
    }
  }

  static void store_kv(const float* src, int32_t count, KvType type, void* dst, void* scales) {
    switch (type) {
      case KvType::kF32: return store_as(src, count, static_cast<float*>(dst));
      case KvType::kF16: return store_as(src, count, static_cast<F16*>(dst));
      case KvType::kBF16: return store_as(src, count, static_cast<BF16*>(dst));
      case KvType::kF8: return store_as(src, count, static_cast<F8*>(dst));
      case KvType::kQ8: return quantise(src, count, static_cast<Q8*>(dst), static_cast<float*>(scales));
      case KvType::kQ4: return Q4Writer<Lanes>::write(src, count, static_cast<uint8_t*>(dst), static_cast<F16*>(scales));
    }
  }

  template <typename Element>
  static void load_as(const Element* src, int32_t count, float factor, float* dst) {
    const Lanes f = Lanes::broadcast(factor);
    int32_t i = 0;
    for (; i + kLanes <= count; i += kLanes) (Lanes::load(src + i) * f).store(dst + i);
    if (i == count) return;
    Element tail[kLanes] = {};
    for (int32_t j = i; j < count; ++j) tail[j - i] = src[j];
    store_tail(Lanes::load(tail) * f, count - i, dst + i);
  }
  static void load_kv(const void* src, const void* scale, int32_t count, KvType type, float* dst) {
    switch (type) {
      case KvType::kF32: return load_as(static_cast<const float*>(src), count, 1, dst);
      case KvType::kF16: return load_as(static_cast<const F16*>(src), count, 1, dst);
      case KvType::kBF16: return load_as(static_cast<const BF16*>(src), count, 1, dst);
      case KvType::kF8: return load_as(static_cast<const F8*>(src), count, 1, dst);
      case KvType::kQ8: return load_as(static_cast<const Q8*>(src), count, *static_cast<const float*>(scale), dst);
      case KvType::kQ4: return unpack_rows<Lanes, Lanes>(static_cast<const uint8_t*>(src), static_cast<const F16*>(scale), 1, count, dst);
    }
  }

  static ChunkStats scan_chunk(const float* logits, int64_t count, float* block_max) {
    Lanes most = Lanes::broadcast(kMinusInfinity);
    for (int64_t begin = 0; begin < count; begin += kSelectBlock) {
      Lanes block = Lanes::broadcast(kMinusInfinity);
      for_block(logits, begin, count, [&block](int, Lanes x) { block = Lanes::max(x, block); });
      block_max[begin / kSelectBlock] = Lanes::largest(block);
      most = Lanes::max(block, most);
    }
    ChunkStats stats{Lanes::largest(most), 0};
    if (stats.max == kMinusInfinity) return stats;
    const Lanes offset = Lanes::broadcast(stats.max);
    Lanes sum[4] = {Lanes::zero(), Lanes::zero(), Lanes::zero(), Lanes::zero()};
    for (int64_t begin = 0; begin < count; begin += kSelectBlock) {
      for_block(logits, begin, count, [&](int turn, Lanes x) { sum[turn] = sum[turn] + exp_below(x - offset); });
    }
    stats.sum_exp = Lanes::sum((sum[0] + sum[1]) + (sum[2] + sum[3]));
    return stats;
  }
  /// Calls use(i, i-th vector of the block), filled up with -infinity.
  template <class Function>
  static void for_block(const float* logits, int64_t begin, int64_t count, Function use) {
    for (int i = 0; i < kSelectBlock / kLanes; ++i) {
      const int64_t column = begin + i * kLanes;
      use(i, column + kLanes <= count ? Lanes::load(logits + column)
                                      : load_tail(logits + column, count - column, kMinusInfinity));
    }
  }

  static ChunkStats join_chunks(const ChunkStats* chunks, int64_t num_chunks) {
    ChunkStats row{kMinusInfinity, 0};
    for (int64_t i = 0; i < num_chunks; ++i) row.max = chunks[i].max > row.max ? chunks[i].max : row.max;
    for (int64_t i = 0; i < num_chunks; ++i) {
      if (chunks[i].max == kMinusInfinity) continue;
      row.sum_exp = __builtin_fmaf(chunks[i].sum_exp, exp_one<Lanes>(chunks[i].max - row.max), row.sum_exp);
    }
    return row;
  }

  static constexpr RowOps kTable = {rms_norm,     add,           scale,           silu_gate, gelu_gate,
                                    rotate_pairs, rotate_halves, rotate_hadamard, store_kv,  load_kv,   scan_chunk, join_chunks};
};

}  // namespace
}  // namespace terrace
