// The products of attention_pairs.h by AMX: a tile register holds 16 rows of 16 pairs, or 16 pairs of 16 columns, as both lie in memory already.
// Only intrinsics that tests/support/kernels/amx_by_loops.h knows: tests run this file on machines without AMX through it.
#pragma once

#include "kernels/cpu/tile_registers.h"

namespace terrace {
namespace {

struct TileProducts {
  static constexpr int32_t kStep = 16;
  static constexpr int32_t kRowStep = 16;
  static constexpr int32_t kMostRows = 32;

  static void begin() {
    TileConfig config;
    for (int tile = 0; tile < 8; ++tile) config.set(tile, 16, 64);
    config.load();
  }
  static void end() { _tile_release(); }

  /// As VectorProducts::multiply(); writes whole tiles, so up to 15 rows beyond.
  template <bool kAdd, class Rows>
  static void multiply(Rows rows, const float* a, int32_t a_stride, const float* b, int32_t b_step, int32_t b_vector, int32_t vectors, int32_t steps,
                       float* c, int32_t c_stride) {
    for (int32_t v = 0; v < vectors; v += 2, b += 2 * b_vector, c += 32) {
      const bool two = v + 1 < vectors;
      if (rows.value > 16) {
        two ? run<kAdd, true, true>(a, a_stride, b, b_step, b_vector, steps, c, c_stride)
            : run<kAdd, true, false>(a, a_stride, b, b_step, b_vector, steps, c, c_stride);
      } else {
        two ? run<kAdd, false, true>(a, a_stride, b, b_step, b_vector, steps, c, c_stride)
            : run<kAdd, false, false>(a, a_stride, b, b_step, b_vector, steps, c, c_stride);
      }
    }
  }

 private:
  /// Sums in registers 0 to 3: of both row tiles (a in 4, 5) by both column tiles (b in 6, 7).
  template <bool kAdd, bool kLower, bool kRight>
  static void run(const float* a, int32_t a_stride, const float* b, int32_t b_step, int32_t b_vector, int32_t steps, float* c, int32_t c_stride) {
    constexpr long kFloat = sizeof(float);
    const float* lower_a = a + 16 * a_stride;
    float* lower_c = c + 16 * c_stride;
    asm volatile("" ::: "memory");  // tile loads are no memory accesses in the eyes of gcc
    if constexpr (kAdd) {
      _tile_loadd(0, c, c_stride * kFloat);
      if constexpr (kRight) _tile_loadd(1, c + 16, c_stride * kFloat);
      if constexpr (kLower) _tile_loadd(2, lower_c, c_stride * kFloat);
      if constexpr (kLower && kRight) _tile_loadd(3, lower_c + 16, c_stride * kFloat);
    } else {
      _tile_zero(0);
      if constexpr (kRight) _tile_zero(1);
      if constexpr (kLower) _tile_zero(2);
      if constexpr (kLower && kRight) _tile_zero(3);
    }
    for (int32_t i = 0; i < steps; i += kStep, b += kStep * b_step) {
      _tile_loadd(4, a + i, a_stride * kFloat);
      _tile_loadd(6, b, b_step * kFloat);
      _tile_dpbf16ps(0, 4, 6);
      if constexpr (kRight) _tile_loadd(7, b + b_vector, b_step * kFloat);
      if constexpr (kRight) _tile_dpbf16ps(1, 4, 7);
      if constexpr (kLower) _tile_loadd(5, lower_a + i, a_stride * kFloat);
      if constexpr (kLower) _tile_dpbf16ps(2, 5, 6);
      if constexpr (kLower && kRight) _tile_dpbf16ps(3, 5, 7);
    }
    _tile_stored(0, c, c_stride * kFloat);
    if constexpr (kRight) _tile_stored(1, c + 16, c_stride * kFloat);
    if constexpr (kLower) _tile_stored(2, lower_c, c_stride * kFloat);
    if constexpr (kLower && kRight) _tile_stored(3, lower_c + 16, c_stride * kFloat);
    asm volatile("" ::: "memory");
  }
};

}  // namespace
}  // namespace terrace
