// Rows of 4 bits (KvType::kQ4): read as floats, and made from floats. Written once for every ISA (lanes.h); a value read is the product of two
// floats, hence the same everywhere, and what attention computes with it is what it computes with F32 pages. Included by ISA-specific files.
#pragma once

#include "kernels/cpu/lanes.h"
#include "kernels/kv_format.h"

namespace terrace {
namespace {

/// `count` scales, what the levels are multiplied by: scale / 128.
template <class Lanes>
void load_factors(const F16* scales, int32_t count, float* to) {
  const Lanes share = Lanes::broadcast(0x1p-7f);
  int32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) (Lanes::load(scales + i) * share).store(to + i);
  if (i == count) return;
  F16 last[kLanes] = {};
  float factors[kLanes];
  for (int32_t j = i; j < count; ++j) last[j - i] = scales[j];
  (Lanes::load(last) * share).store(factors);
  for (int32_t j = i; j < count; ++j) to[j] = factors[j - i];
}

/// Reads `num_rows` rows that lie one after another, as do their scales, into rows of `dims` floats.
template <class Lanes, class Wide>
void unpack_rows(const uint8_t* codes, const F16* scales, int32_t num_rows, int32_t dims, float* to) {
  constexpr int32_t kMost = kMostQ4Dims / kQ4Run;  // runs at a time
  float factors[2 * kMost];
  const int32_t whole = dims / kQ4Run, runs = q4_runs(dims);
  const int32_t rows_at_once = kMost / runs;
  for (; num_rows > 0; num_rows -= rows_at_once, scales += 2 * rows_at_once * runs) {
    const int32_t rows = num_rows < rows_at_once ? num_rows : rows_at_once;
    load_factors<Lanes>(scales, 2 * rows * runs, factors);
    const float* pair = factors;
    for (int32_t row = 0; row < rows; ++row, to += dims) {
      for (int32_t run = 0; run < whole; ++run, codes += kQ4Run / 2, pair += 2) Wide::unpack(codes, pair, to + run * kQ4Run);
      if (whole == runs) continue;
      float last[kQ4Run];
      Wide::unpack(codes, pair, last);
      for (int32_t d = whole * kQ4Run; d < dims; ++d) to[d] = last[d - whole * kQ4Run];
      codes += kQ4Run / 2;
      pair += 2;
    }
  }
}

/// Makes such a row. The scale of 16 dims is the best of three first guesses, each fitted to the codes that it leads to by least squares.
template <class Lanes>
class Q4Writer {
 public:
  static void write(const float* src, int32_t count, uint8_t* codes, F16* scales) {
    for (int32_t begin = 0; begin < count; begin += kQ4Run, codes += kQ4Run / 2, scales += 2) {
      float run[kQ4Run];
      for (int32_t i = 0; i < kQ4Run; ++i) run[i] = begin + i < count ? src[begin + i] : 0.0f;
      Group low(run), high(run + kGroup);
      scales[0] = low.fit();
      scales[1] = high.fit();
      for (int32_t i = 0; i < kGroup; ++i) codes[i] = static_cast<uint8_t>(low.code(i) | high.code(i) << 4);
    }
  }

 private:
  static constexpr int32_t kGroup = kQ4Run / 2;
  static constexpr int32_t kVectors = kGroup / kLanes;

  static constexpr float level(int code) { return static_cast<float>(kQ4Levels[code]) / 128.0f; }

  class Group {
   public:
    explicit Group(const float* values) {
      for (int i = 0; i < kVectors; ++i) x_[i] = Lanes::load(values + i * kLanes);
    }

    /// NaN where a value is not finite.
    F16 fit() {
      constexpr float kGuesses[] = {1.0f, 0.92f, 1.08f};  // times what makes the value of largest magnitude the first level
      Lanes most = Lanes::zero(), least = Lanes::zero(), poison = Lanes::zero();
      for (const Lanes x : x_) {
        most = Lanes::max(x, most);
        least = Lanes::max(Lanes::zero() - x, least);
        poison = Lanes::fma(x, Lanes::zero(), poison);  // NaN of NaN or infinity
      }
      const float above = Lanes::largest(most), below = Lanes::largest(least);
      const float extreme = below > above ? -below : above;
      const bool any = extreme > 1e-30f || extreme < -1e-30f;
      float best_gain = -1, best_scale = 0;
      for (const float guess : kGuesses) {
        const float scale = extreme / level(0) * guess;
        const Lanes inverse = Lanes::broadcast(any ? 1.0f / scale : 0.0f);
        Lanes code[kVectors];
        float gain = 0;  // what the fitted scale takes from the sum of squared errors
        const float fitted = fit_codes(inverse, code, gain);
        if (!(gain > best_gain)) continue;
        best_gain = gain;
        best_scale = fitted;
        for (int i = 0; i < kVectors; ++i) code[i].store(code_ + i * kLanes);
      }
      F16 result[kLanes];
      Lanes::broadcast(best_scale + Lanes::sum(poison)).store(result);
      return result[0];
    }
    int code(int32_t i) const { return static_cast<int>(code_[i]); }

   private:
    /// The codes of the levels nearest to x * inverse, and the scale that suits them best.
    float fit_codes(Lanes inverse, Lanes (&code)[kVectors], float& gain) const {
      Lanes product = Lanes::zero(), square = Lanes::zero();
      for (int i = 0; i < kVectors; ++i) {
        const Lanes x = x_[i] * inverse;
        Lanes nearest = Lanes::broadcast(level(0));
        code[i] = Lanes::zero();
        for (int c = 1; c < 16; ++c) {
          const Lanes bound = Lanes::broadcast((level(c - 1) + level(c)) / 2);
          nearest = Lanes::select_less(x, bound, nearest, Lanes::broadcast(level(c)));
          code[i] = Lanes::select_less(x, bound, code[i], Lanes::broadcast(static_cast<float>(c)));
        }
        product = Lanes::fma(x_[i], nearest, product);
        square = Lanes::fma(nearest, nearest, square);
      }
      const float correlation = Lanes::sum(product), energy = Lanes::sum(square);
      if (!(energy > 0)) return 0;
      gain = correlation * correlation / energy;
      return correlation / energy;
    }

    Lanes x_[kVectors];
    float code_[kGroup] = {};
  };
};

}  // namespace
}  // namespace terrace
