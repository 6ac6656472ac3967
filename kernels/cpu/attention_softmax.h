// From the scores of a row's piece to integer weights of its values, and the merge of two pieces (attention_kernel.h has the arithmetic). Each
// fixes its order of accumulation.
#pragma once

#include "kernels/attention_split.h"
#include "kernels/cpu/attention_codes.h"
#include "kernels/cpu/float_math.h"

namespace terrace {
namespace {

constexpr int32_t kPartKeys = 128;               // whose weighed values are summed as integers
constexpr float kLargestWeight = 32767.0f;       // and those of a part sum up to at most
constexpr float kLargestTotal = 262144 - 128;    // so that times kMostCode they stay below 2^31, each rounded up
constexpr float kLog2E = 0x1.715476p0f;          // scores are multiplied with it
constexpr float kLn2 = 0x1.62e430p-1f;
constexpr float kLeastExponent = -125.0f;        // of 2; below, a weight is zero
constexpr float kLeastWeight = 0x1p-100f;        // keeps reciprocals finite

/// How much of the next piece to the right its state takes in, lane by lane.
template <class Lanes>
struct MergeShares {
  MergeShares(Lanes state_lse, Lanes piece_lse) {
    const Lanes largest = Lanes::max(state_lse, piece_lse);
    const Lanes of_state = exp_below(state_lse - largest), of_piece = exp_below(piece_lse - largest), total = of_state + of_piece;
    state = of_state / total;
    piece = of_piece / total;
    lse = largest + log(total);
  }
  Lanes state, piece, lse;
};

/// state = state * state_share + piece * piece_share.
template <class Lanes>
void merge_piece(float* state, const float* piece, float state_share, float piece_share, int32_t dims) {
  const Lanes of_state = Lanes::broadcast(state_share), of_piece = Lanes::broadcast(piece_share);
  int32_t d = 0;
  for (; d + kLanes <= dims; d += kLanes)
    Lanes::fma(Lanes::load(piece + d), of_piece, Lanes::load(state + d) * of_state).store(state + d);
  for (; d < dims; ++d) state[d] = __builtin_fmaf(piece[d], piece_share, state[d] * state_share);
}

/// Turns n scores s into soft_cap * tanh(s / soft_cap), for exponentials to base 2; n is a multiple of 8.
template <class Lanes>
void cap_row(float* scores, int32_t n, float soft_cap) {
  const Lanes cap = Lanes::broadcast(soft_cap * kLog2E), inverse = Lanes::broadcast(1.0f / soft_cap);
  for (int32_t j = 0; j < n; j += kLanes) (cap * tanh(Lanes::load(scores + j) * inverse)).store(scores + j);
}

/// Sums or maxima in sixteen lanes, in as many vectors as they take.
template <class V>
struct Sixteen {
  using Wide = typename V::Wide;
  static constexpr int kVectors = kPairGroup / Wide::kWidth;

  explicit Sixteen(float value) {
    for (Wide& each : x) each = Wide::broadcast(value);
  }
  Wide x[kVectors];
};

/// One such for each of up to eight rows, joined for all rows at once: lanes are rows then.
template <class V>
class ManySixteens {
 public:
  using Lanes = typename V::Lanes;

  void set(int32_t row, const Sixteen<V>& from) {
    for (int i = 0; i < Sixteen<V>::kVectors; ++i) from.x[i].store(x_[row] + i * V::Wide::kWidth);
  }
  Lanes sum() const {
    Lanes x[kLanes];
    for (int r = 0; r < kLanes; ++r) x[r] = Lanes::load(x_[r]) + Lanes::load(x_[r] + kLanes);
    Lanes::transpose(x);
    return ((x[0] + x[2]) + (x[1] + x[3])) + ((x[4] + x[6]) + (x[5] + x[7]));
  }
  Lanes largest() const {
    Lanes x[kLanes];
    for (int r = 0; r < kLanes; ++r) x[r] = Lanes::max(Lanes::load(x_[r]), Lanes::load(x_[r] + kLanes));
    Lanes::transpose(x);
    Lanes most = x[0];
    for (int i = 1; i < kLanes; ++i) most = Lanes::max(most, x[i]);
    return most;
  }

 private:
  float x_[kLanes][kPairGroup] = {};
};

/// The largest of scores [begin, end), multiples of 16.
template <class V>
Sixteen<V> largest_scores(const float* scores, int32_t begin, int32_t end) {
  using Wide = typename V::Wide;
  Sixteen<V> most(-__builtin_inff());
  for (int32_t j = begin; j < end; j += kPairGroup) {
#pragma GCC unroll 2
    for (int i = 0; i < Sixteen<V>::kVectors; ++i) most.x[i] = Wide::max(most.x[i], Wide::load(scores + j + i * Wide::kWidth));
  }
  return most;
}

/// Turns scores of [begin, end) into their exponentials times their values' scales; adds those without scales to `total`, those with scales to
/// `part`.
template <class V>
[[gnu::noinline]] void exponentials(float* scores, const float* value_scale, int32_t begin, int32_t end, float largest, Sixteen<V>& total,
                                    Sixteen<V>& part, Sixteen<V>& most) {
  using Wide = typename V::Wide;
  const Wide offset = Wide::broadcast(largest), least = Wide::broadcast(kLeastExponent);
  Sixteen<V> all = total, of_part = part, highest = most;
  for (int32_t j = begin; j < end; j += kPairGroup) {
#pragma GCC unroll 2
    for (int i = 0; i < Sixteen<V>::kVectors; ++i) {
      const int32_t at = j + i * Wide::kWidth;
      const Wide x = Wide::load(scores + at) - offset, power = exp2_normal(x);
      // Both are zero where the row doesn't see the key, whose scale may be NaN.
      const Wide weight = Wide::zero_if_less(x, least, power), scaled = Wide::zero_if_less(x, least, power * Wide::load(value_scale + at));
      scaled.store(scores + at);
      all.x[i] = all.x[i] + weight;
      of_part.x[i] = of_part.x[i] + scaled;
      highest.x[i] = Wide::max(highest.x[i], scaled);
    }
  }
  total = all;
  part = of_part;
  most = highest;
}

/// Integers of weights [begin, end) times `scale`, of which key i of each 16 is paired with i + 8.
template <class V>
void store_weights(const float* weights, int32_t begin, int32_t end, float scale, int32_t* codes) {
  using Wide = typename V::Wide;
  constexpr int kVectors = Sixteen<V>::kVectors;
  for (int32_t j = begin; j < end; j += kPairGroup) {
    Wide shifted[kVectors];
#pragma GCC unroll 2
    for (int i = 0; i < kVectors; ++i)
      shifted[i] = Wide::fma(Wide::load(weights + j + i * Wide::kWidth), Wide::broadcast(scale), Wide::broadcast(kIntegerShift));
    V::Pairs::store_halves(shifted, codes + j / 2);
  }
}

/// What integer weights are multiplied with, by row: as large as 32-bit sums allow. NaN of NaN.
template <class Lanes>
Lanes weight_scales(Lanes first_part, Lanes second_part, Lanes most) {
  const Lanes least = Lanes::broadcast(kLeastWeight);
  const Lanes part = Lanes::max(Lanes::max(least, first_part), second_part) + (first_part + second_part) * Lanes::zero();
  const Lanes by_part = Lanes::broadcast(kLargestTotal) / part, by_most = Lanes::broadcast(kLargestWeight) / Lanes::max(least, most);
  return Lanes::select_less(by_most, by_part, by_most, by_part);
}

}  // namespace
}  // namespace terrace
