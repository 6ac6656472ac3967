// The query rows of one unit of attention, as tensor-core fragments. The arithmetic of a row, whatever tile it is in:
//   a step = 32 keys from a multiple of 32; s_j = q.k_j (16-bit products, float sums in order of the dims, 16 at a time);
//   the running maximum m is raised to the step's only when it is more than 2^8 too low, so that it seldom moves;
//   p_j = 2^(s_j - m), rounded to 16 bits; O += p_j v_j and l += p_j by the same products, keys in order, 16 at a time;
//   at the end of a piece of 256 keys O / l and log2(l) + m are joined with those of the pieces on the left.
// No other row has a say: what rows of a tile share is whether O is multiplied by 1 or not at all. A key beyond a row's position is
// masked in the scores (select), and an infinite or NaN value of such a key is left out of that row's sums.
//
// Tiles of equal bits: where several warps (kSharers) have the same 16 rows, each scores its part of a step's keys, they exchange maxima and
// weights through shared memory, and each sums its part of the dims.
//
// Fragments (PTX manual, mma.m16n8k16): lane l has, of a 16 x 8 accumulator, rows l/4 (elements 0, 1) and l/4 + 8 (2, 3), columns
// 2 (l % 4) and the next. That is also how an A fragment lies, 8 columns to two registers.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/attention_split.h"
#include "kernels/cuda/attention_stage.cuh"

namespace terrace::attention {

inline constexpr float kMaximumLag = 8.0f;  // weights stay below 2^8, far from f16's 65504

template <int kDims, AttentionTile kTile, KvElement kElement>
class Rows {
 public:
  using SharedMemory = Shared<kDims, kTile>;
  using Stage = typename SharedMemory::Stage;

  /// After load_queries() and a barrier.
  __device__ __forceinline__ Rows(const AttentionParams& params, SharedMemory& shared)
      : params_(params), unit_(shared.unit), shared_(shared), lane_(threadIdx.x % 32), warp_(threadIdx.x / 32) {
    first_row_ = 16 * (warp_ / kSharers);
    first_position_ = position(first_row_);
    last_position_ = first_row_ < unit_.num_rows ? position(first_row_ + 15) : -1;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int row = first_row_ + lane_ / 4 + 8 * i;
      position_[i] = position(row);
      scale_[i] = params.soft_cap_log2 > 0 ? params.soft_cap_log2 : shared.scale[row];
    }
    if constexpr (kQueriesInRegisters) {
#pragma unroll
      for (int i = 0; i < kDims / 16; ++i) load_query(shared.q, i, queries_[i]);
    }
    begin_piece();
  }

  /// Takes in the step's keys from `first_key` on; all lanes of the block.
  __device__ __forceinline__ void step(const Stage& stage, int first_key) {
    if constexpr (kSharers == 1) {
      if (first_key > last_position_) return;
    }
    const KeyGap largest_gap = gap_of(params_, last_position_);
    const bool masked = first_key + kStepKeys - 1 > first_position_ || (first_key < largest_gap.end && first_key + kStepKeys > largest_gap.begin);
    float scores[kKeyTiles][4];
    score(stage, scores);
    if (params_.q_sinks != nullptr && first_key < params_.sinks) score_sinks(stage, first_key, scores);
    if (params_.soft_cap_log2 > 0) cap(scores);
    if (masked) mask(first_key, scores);
    raise_maximum(scores);
    uint32_t weights[2][4];
    weigh(scores, weights);
    add_values(stage, first_key, masked, weights);
  }

  /// Normalises the piece that began at `piece` and stores it, or joins it with the pieces before.
  __device__ __forceinline__ void end_piece(int piece) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const KeyGap gap = gap_of(params_, position_[i]);
      if (piece > position_[i] || gap.skip(piece, kAttentionSplit) != piece) continue;  // no key of the piece
      const float share = 1.0f / sum_[2 * i];
      const float lse = offset(i) + ptx::log2_approx(sum_[2 * i]);
      if (unit_.partial >= 0) {
        store_partial(i, share, lse);
      } else {
        fold(i, share, lse, piece == gap.skip(0, kAttentionSplit));
      }
    }
    begin_piece();
  }

  /// Writes what was folded.
  __device__ __forceinline__ void finish() const {
    if (unit_.partial >= 0) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (!owns(i)) continue;
      float* out = params_.out + (unit_.first_token + row(i) / unit_.heads) * params_.out_stride + (unit_.first_head + row(i) % unit_.heads) * params_.head_dim;
      store_dims(out, [&](int n, int e) { return total_[n][2 * i + e]; });
    }
  }

 private:
  static constexpr int kSharers = kWarps / SharedMemory::kGroups;     // warps that have the same 16 rows
  static constexpr int kKeyTiles = kStepKeys / 8 / kSharers;          // of 8 keys, that this warp scores
  static constexpr int kDimTiles = kDims / 8 / kSharers;              // of 8 dims, that it sums
  static constexpr bool kQueriesInRegisters = kDims / kSharers <= 96;
  using P = Product<kElement>;

  __device__ __forceinline__ int position(int row) const {
    const int last = unit_.num_rows - 1;
    return unit_.first_position + (unit_.first_row + (row < last ? row : last)) / unit_.heads;
  }

  __device__ __forceinline__ bool sees(int position, int key) const { return key <= position && (key > position - params_.window || key < params_.sinks); }

  __device__ __forceinline__ int first_key_tile() const { return warp_ % kSharers * kKeyTiles; }
  __device__ __forceinline__ int first_dim_tile() const { return warp_ % kSharers * kDimTiles; }

  /// Dims [16 i, 16 i + 16) of the warp's rows.
  using Queries = uint16_t[SharedMemory::kRows][SharedMemory::kStride];
  __device__ __forceinline__ void load_query(const Queries& queries, int i, uint32_t (&a)[4]) const {
    ptx::ldmatrix_x4(a, &queries[first_row_ + lane_ % 16][16 * i + lane_ / 16 * 8]);
  }

  __device__ __forceinline__ void begin_piece() {
#pragma unroll
    for (int i = 0; i < 2; ++i) maximum_[i] = -INFINITY;
#pragma unroll
    for (int e = 0; e < 4; ++e) sum_[e] = 0;
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
      for (int e = 0; e < 4; ++e) out_[n][e] = 0;
    }
  }

  __device__ __forceinline__ void score(const Stage& stage, float (&scores)[kKeyTiles][4]) const {
    const uint16_t* keys = &stage.k[8 * first_key_tile() + lane_ % 8][lane_ / 8 * 8];
#pragma unroll
    for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[j][e] = 0;
    }
#pragma unroll
    for (int d = 0; d < kDims / 32; ++d) {
      uint32_t a[2][4];
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        if constexpr (kQueriesInRegisters) {
#pragma unroll
          for (int e = 0; e < 4; ++e) a[half][e] = queries_[2 * d + half][e];
        } else {
          load_query(shared_.q, 2 * d + half, a[half]);
        }
      }
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) {
        uint32_t b[4];
        ptx::ldmatrix_x4(b, keys + 8 * j * SharedMemory::kStride + 32 * d);
        P::mma(scores[j], a[0], b[0], b[1]);
        P::mma(scores[j], a[1], b[2], b[3]);
      }
    }
  }

  /// Scores of keys before `sinks` anew, by the queries that stand to them.
  __device__ __forceinline__ void score_sinks(const Stage& stage, int first_key, float (&scores)[kKeyTiles][4]) const {
    const uint16_t* keys = &stage.k[8 * first_key_tile() + lane_ % 8][lane_ / 8 * 8];
#pragma unroll
    for (int j = 0; j < kKeyTiles; ++j) {
      const int key = first_key + 8 * (first_key_tile() + j) + lane_ % 4 * 2;
      if (key - lane_ % 4 * 2 >= params_.sinks) continue;
      float sums[4] = {0, 0, 0, 0};
#pragma unroll 1
      for (int d = 0; d < kDims / 32; ++d) {
        uint32_t a[4], b[4];
        ptx::ldmatrix_x4(b, keys + 8 * j * SharedMemory::kStride + 32 * d);
        load_query(shared_.q_sinks, 2 * d, a);
        P::mma(sums, a, b[0], b[1]);
        load_query(shared_.q_sinks, 2 * d + 1, a);
        P::mma(sums, a, b[2], b[3]);
      }
#pragma unroll
      for (int e = 0; e < 4; ++e) scores[j][e] = key + e % 2 < params_.sinks ? sums[e] : scores[j][e];
    }
  }

  /// To their hyperbolic tangents, of which scale_ makes exponents of 2.
  __device__ __forceinline__ void cap(float (&scores)[kKeyTiles][4]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float factor = shared_.scale[first_row_ + lane_ / 4 + 8 * i] * params_.tanh_scale;
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
        for (int e = 2 * i; e < 2 * i + 2; ++e) scores[j][e] = 1.0f - __fdividef(2.0f, ptx::exp2_approx(scores[j][e] * factor) + 1.0f);
      }
    }
  }

  __device__ __forceinline__ void mask(int first_key, float (&scores)[kKeyTiles][4]) const {
    const int key = first_key + 8 * first_key_tile() + lane_ % 4 * 2;
#pragma unroll
    for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        if (!sees(position_[e / 2], key + 8 * j + e % 2)) scores[j][e] = -INFINITY;
      }
    }
  }

  __device__ __forceinline__ void raise_maximum(const float (&scores)[kKeyTiles][4]) {
    float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) largest[i] = fmaxf(largest[i], fmaxf(scores[j][2 * i], scores[j][2 * i + 1]));
      largest[i] = fmaxf(largest[i], __shfl_xor_sync(kAllLanes, largest[i], 1));
      largest[i] = fmaxf(largest[i], __shfl_xor_sync(kAllLanes, largest[i], 2));
    }
    if constexpr (kSharers > 1) share_maxima(largest);
    bool raise[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) raise[i] = (largest[i] - maximum_[i]) * scale_[i] > kMaximumLag;
    if (!__any_sync(kAllLanes, raise[0] || raise[1])) return;
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float factor = raise[i] ? ptx::exp2_approx((maximum_[i] - largest[i]) * scale_[i]) : 1.0f;
      maximum_[i] = raise[i] ? largest[i] : maximum_[i];
      sum_[2 * i] *= factor;
#pragma unroll
      for (int n = 0; n < kDimTiles; ++n) out_[n][2 * i] *= factor, out_[n][2 * i + 1] *= factor;
    }
  }

  /// From those over this warp's keys to those over the step's.
  __device__ __forceinline__ void share_maxima(float (&largest)[2]) const {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (lane_ % 4 == 0) shared_.maxima[warp_][lane_ / 4 + 8 * i] = largest[i];
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 2; ++i) {
#pragma unroll
      for (int w = 0; w < kSharers; ++w) largest[i] = fmaxf(largest[i], shared_.maxima[warp_ / kSharers * kSharers + w][lane_ / 4 + 8 * i]);
    }
  }

  /// A fragments of the step's weights: keys 0-15 and 16-31.
  __device__ __forceinline__ void weigh(const float (&scores)[kKeyTiles][4], uint32_t (&weights)[2][4]) const {
    uint32_t packed[kKeyTiles][2];
#pragma unroll
    for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
      for (int i = 0; i < 2; ++i) packed[j][i] = P::pack(weight(scores[j][2 * i], i), weight(scores[j][2 * i + 1], i));
    }
    if constexpr (kSharers > 1) {
      auto& shared = shared_.weights[warp_ / kSharers];
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) {
        const int tile = first_key_tile() + j;
        *reinterpret_cast<uint2*>(&shared[tile / 2][lane_][tile % 2 * 2]) = make_uint2(packed[j][0], packed[j][1]);
      }
      __syncthreads();
#pragma unroll
      for (int k = 0; k < 2; ++k) {
        const uint4 all = *reinterpret_cast<const uint4*>(shared[k][lane_]);
        weights[k][0] = all.x, weights[k][1] = all.y, weights[k][2] = all.z, weights[k][3] = all.w;
      }
    } else {
#pragma unroll
      for (int j = 0; j < kKeyTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 2; ++i) weights[j / 2][j % 2 * 2 + i] = packed[j][i];
      }
    }
  }

  /// The running maximum as an exponent of 2; 0 before the first.
  __device__ __forceinline__ float offset(int i) const { return maximum_[i] > -INFINITY ? maximum_[i] * scale_[i] : 0.0f; }
  __device__ __forceinline__ float weight(float score, int i) const { return ptx::exp2_approx(fmaf(score, scale_[i], -offset(i))); }

  __device__ __forceinline__ void add_values(const Stage& stage, int first_key, bool masked, const uint32_t (&weights)[2][4]) {
    P::mma(sum_, weights[0], P::kOnes, P::kOnes);
    P::mma(sum_, weights[1], P::kOnes, P::kOnes);
    const uint16_t* values = &stage.v[lane_][8 * first_dim_tile()];
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
      uint32_t b[4];  // of 8 keys each
      ptx::ldmatrix_x4_transposed(b, values + 8 * n);
      if (masked) {
        bool special = false;
#pragma unroll
        for (int e = 0; e < 4; ++e) special = special || any_not_finite<kElement>(b[e]);
        if (__any_sync(kAllLanes, special)) {
          add_special_values(first_key, weights, b, out_[n]);
          continue;
        }
      }
      P::mma(out_[n], weights[0], b[0], b[1]);
      P::mma(out_[n], weights[1], b[2], b[3]);
    }
  }

  /// 0 * NaN is NaN: position by position, with the values of later keys taken out.
  __device__ __forceinline__ void add_special_values(int first_key, const uint32_t (&weights)[2][4], const uint32_t (&b)[4], float (&out)[4]) const {
    const float before[4] = {out[0], out[1], out[2], out[3]};
#pragma unroll 1
    for (int position = first_position_; position <= last_position_; ++position) {
      uint32_t attended[4];
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const int key = first_key + 8 * e + lane_ % 4 * 2;
        attended[e] = (sees(position, key) ? b[e] & 0xffffu : 0u) | (sees(position, key + 1) ? b[e] & 0xffff0000u : 0u);
      }
      float sums[4] = {before[0], before[1], before[2], before[3]};
      P::mma(sums, weights[0], attended[0], attended[1]);
      P::mma(sums, weights[1], attended[2], attended[3]);
#pragma unroll
      for (int e = 0; e < 4; ++e) out[e] = position == position_[e / 2] ? sums[e] : out[e];
    }
  }

  /// Of the lane's two rows, in the task; and whether it is one of the unit's.
  __device__ __forceinline__ int row(int i) const { return unit_.first_row + first_row_ + lane_ / 4 + 8 * i; }
  __device__ __forceinline__ bool owns(int i) const { return first_row_ + lane_ / 4 + 8 * i < unit_.num_rows; }

  /// value(tile, 0 or 1) of those of this lane's dims that the head has.
  template <class Value>
  __device__ __forceinline__ void store_dims(float* row, Value value) const {
    const int first = 8 * first_dim_tile() + lane_ % 4 * 2;
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
      if (first + 8 * n < params_.head_dim) *reinterpret_cast<float2*>(row + first + 8 * n) = make_float2(value(n, 0), value(n, 1));
    }
  }

  __device__ __forceinline__ void store_partial(int i, float share, float lse) const {
    if (!owns(i)) return;
    const int64_t partial = static_cast<int64_t>(unit_.partial + row(i) / unit_.heads) * params_.most_heads + row(i) % unit_.heads;
    store_dims(params_.partial_out + partial * params_.head_dim, [&](int n, int e) { return out_[n][2 * i + e] * share; });
    if (warp_ % kSharers == 0 && lane_ % 4 == 0) params_.partial_lse[partial] = lse;
  }

  __device__ __forceinline__ void fold(int i, float share, float lse, bool first) {
    const JoinWeights weights = first ? JoinWeights{0, 1, lse} : join_weights(total_lse_[i], lse);
    total_lse_[i] = weights.lse;
#pragma unroll
    for (int n = 0; n < kDimTiles; ++n) {
#pragma unroll
      for (int e = 2 * i; e < 2 * i + 2; ++e) total_[n][e] = first ? out_[n][e] * share : join(total_[n][e], out_[n][e] * share, weights);
    }
  }

  const AttentionParams& params_;
  const AttentionUnit& unit_;
  SharedMemory& shared_;
  const int lane_, warp_;
  int first_row_;                       // of the warp's 16
  int first_position_, last_position_;  // of them; the last is -1 where none is the unit's
  // Of the lane's two rows:
  int position_[2];
  float scale_[2];
  float maximum_[2];    // running, of the unscaled scores
  float total_lse_[2];  // of the pieces folded so far
  // Fragments:
  uint32_t queries_[kQueriesInRegisters ? kDims / 16 : 1][4];
  float sum_[4];                                  // of the weights; all columns alike
  float out_[kDimTiles][4];                       // of this piece, not normalised
  float total_[kDimTiles][4];                     // folded so far
};

}  // namespace terrace::attention
