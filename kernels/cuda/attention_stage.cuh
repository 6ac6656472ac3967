// What a block of attention keeps in shared memory, and how queries, keys and values come there: K and V of 32 keys at a time by
// cp.async into a ring, from pages that lie anywhere. Rows are 16 bytes longer than their elements, so that the 8 rows which
// ldmatrix reads at a time lie in different banks, and all addresses in a tile are one register and a constant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention_window.h"
#include "kernels/cuda/attention_codes.cuh"

namespace terrace::attention {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;
inline constexpr int kStepKeys = 32;  // keys of a step: part of the arithmetic (the running maximum moves once a step)

template <int kDims, AttentionTile kTile>
struct Shared {
  static constexpr int kRows = attention_rows(kTile, kDims);
  static constexpr int kGroups = kRows / 16;             // of warps that share 16 rows
  static constexpr int kStride = kDims + 8;              // elements
  static constexpr int kStages = kDims > 128 ? 2 : 3;
  struct Stage {
    uint16_t k[kStepKeys][kStride];
    uint16_t v[kStepKeys][kStride];
  };

  AttentionUnit unit;                                // what the block works on: registers are dear
  KeyGap gap;                                        // what none of its rows sees: the first row's
  const uint32_t* frames;                            // of its sequence
  const std::byte* kv;                               // the pool, with the layer's and the head's offset added
  const std::byte* host_kv;                          // likewise
  alignas(16) uint16_t q[kRows][kStride];
  alignas(16) Stage stages[kStages];
  alignas(16) uint32_t weights[kGroups][2][32][4];  // of a step, as a lane's A fragments of 16 keys each; this and the next where warps share
  float maxima[kWarps][16];                         // over each warp's keys
  float scale[kRows];                               // turns a row's scores into exponents of 2
  alignas(16) uint16_t q_sinks[kRows][kStride];     // like q; a block has this memory only where AttentionParams::q_sinks is set
};

__device__ __forceinline__ KeyGap gap_of(const AttentionParams& params, int position) { return {params.sinks, position - params.window + 1}; }

template <int kDims, AttentionTile kTile>
__device__ __forceinline__ void open_unit(Shared<kDims, kTile>& shared, const AttentionParams& params, int index) {
  shared.unit = (*params.units)[index];
  shared.gap = gap_of(params, shared.unit.first_position + shared.unit.first_row / shared.unit.heads);
  shared.frames = (params.chosen_frames != nullptr ? params.chosen_frames : *params.frames) + shared.unit.first_page;
  shared.kv = params.kv + shared.unit.kv_head * params.head_stride;
  shared.host_kv = params.host_kv + shared.unit.kv_head * params.head_stride;
}

/// The unit's query rows as 16-bit elements, each row less a power of two where it would not fit. Rows and dims beyond: zeros.
template <int kDims, AttentionTile kTile, KvElement kElement>
__device__ __forceinline__ void load_queries(Shared<kDims, kTile>& shared, const AttentionParams& params) {
  const AttentionUnit& unit = shared.unit;
  constexpr int kPasses = (kDims + 127) / 128;
  const int lane = threadIdx.x % 32;
  for (int row = threadIdx.x / 32; row < Shared<kDims, kTile>::kRows; row += kWarps) {
    const int unit_row = unit.first_row + row;
    const int token = unit.first_token + unit_row / unit.heads;
    const int column = (unit.first_head + unit_row % unit.heads) * params.head_dim;
    float4 values[kPasses];
    float largest = 0;
    const auto load = [&](const float* src, int i) {
      const int dim = 128 * i + 4 * lane;
      const float4 v = row < unit.num_rows && dim < params.head_dim ? *reinterpret_cast<const float4*>(src + dim) : make_float4(0, 0, 0, 0);
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(v.x), fabsf(v.y)), fmaxf(fabsf(v.z), fabsf(v.w))));
      return v;
    };
#pragma unroll
    for (int i = 0; i < kPasses; ++i) values[i] = load(params.q + token * params.q_stride + column, i);
    if (params.q_sinks != nullptr) {  // they share the row's power of two
#pragma unroll
      for (int i = 0; i < kPasses; ++i) load(params.q_sinks + token * params.q_sinks_stride + column, i);
    }
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, mask));
    const int excess = Product<kElement>::excess(largest);
    const float down = __uint_as_float(static_cast<uint32_t>(127 - excess) << 23);
    const auto store = [&](uint16_t* to, float4 v, int i) {
      const int dim = 128 * i + 4 * lane;
      if (dim < kDims) *reinterpret_cast<uint2*>(to + dim) = make_uint2(Product<kElement>::pack(v.x * down, v.y * down), Product<kElement>::pack(v.z * down, v.w * down));
    };
#pragma unroll
    for (int i = 0; i < kPasses; ++i) store(shared.q[row], values[i], i);
    if (params.q_sinks != nullptr) {
#pragma unroll
      for (int i = 0; i < kPasses; ++i) store(shared.q_sinks[row], load(params.q_sinks + token * params.q_sinks_stride + column, i), i);
    }
    if (lane == 0) shared.scale[row] = params.scale_log2 * __uint_as_float(static_cast<uint32_t>(127 + excess) << 23);
  }
}

/// The step after the one at `key`, or, where no row sees any of its keys, the next one of which some are.
template <int kDims, AttentionTile kTile>
__device__ __forceinline__ int seen_step(const Shared<kDims, kTile>& shared, int key) {
  return shared.gap.skip(key, kStepKeys);
}

/// Brings K and V of the unit's KV head into the ring, a step at a time; used by the whole block. Four lanes copy a key, 64 bytes side
/// by side; neighbours have rows 4 apart, which lie in different banks.
template <int kDims, AttentionTile kTile, KvElement kElement>
class KvStager {
 public:
  using Stage = typename Shared<kDims, kTile>::Stage;

  __device__ __forceinline__ KvStager(const AttentionParams& params, const Shared<kDims, kTile>& shared)
      : params_(params), shared_(shared), first_key_(seen_step(shared, shared.unit.kv_begin)) {
    find_frame();
  }

  /// Starts the copies of the next step's keys; zeros for keys that no row sees, whose pages may be gone. One group per call, empty if all
  /// steps are under way. The page of the step after is looked up here.
  __device__ __forceinline__ void copy_next(Stage& stage) {
    if (first_key_ < shared_.unit.kv_end) {
      const std::byte* pool = frame_ < params_.num_frames ? shared_.kv : shared_.host_kv;
      copy_key(stage, pool + frame_ * params_.page_stride, key() & ((1 << params_.page_shift) - 1));
      first_key_ = seen_step(shared_, first_key_ + kStepKeys);
      find_frame();
    }
    ptx::cp_async_commit();
  }

 private:
  /// Of a stage, that this lane helps to copy.
  static __device__ __forceinline__ int row() { return threadIdx.x / 32 * 8 + threadIdx.x / 8 % 4 + threadIdx.x / 4 % 2 * 4; }
  __device__ __forceinline__ int key() const { return first_key_ + row(); }
  __device__ __forceinline__ bool is_seen() const { return key() < shared_.unit.kv_end && !(key() >= shared_.gap.begin && key() < shared_.gap.end); }
  /// Of the lane's key; any will do for one that is not seen.
  __device__ __forceinline__ void find_frame() { frame_ = is_seen() ? shared_.frames[key() >> params_.page_shift] : 0; }

  /// `page`: where the head's keys begin in it.
  __device__ __forceinline__ void copy_key(Stage& stage, const std::byte* page, int in_page) const {
    uint16_t* const k = stage.k[row()];
    uint16_t* const v = stage.v[row()];
    const std::byte* src = page + in_page * params_.row_bytes;
    const auto copy_8 = [](uint16_t* dst, const std::byte* from, bool wanted) { ptx::cp_async_16(dst, from, wanted); };
    const auto copy_4 = [](uint16_t* dst, const std::byte* from, bool wanted) { ptx::cp_async_8(dst, from, wanted); };
    if constexpr (kElement == KvElement::kScaled) {
      const std::byte* layer = page - shared_.unit.kv_head * params_.head_stride;
      const int row = (shared_.unit.kv_head << params_.page_shift) + in_page;  // of the layer's
      const std::byte* v_src = layer + params_.v_offset + shared_.unit.kv_head * params_.v_head_stride + in_page * params_.v_row_bytes;
      copy_scaled(k, params_.k_type, src, layer + params_.k_scales, row, params_.row_bytes);
      if (is_quantised(params_.v_type)) {
        copy_scaled(v, params_.v_type, v_src, layer + params_.v_scales, row, params_.v_row_bytes);
      } else if (params_.head_dim % 8 == 0) {
        copy_row<8, 2>(v, v_src, copy_8);
      } else {
        copy_row<4, 2>(v, v_src, copy_4);
      }
    } else if constexpr (kElement == KvElement::kF8) {
      copy_f8(k, src);
      copy_f8(v, src + params_.v_offset);
    } else if constexpr (kElement == KvElement::kF32) {
      const auto copy = [](uint16_t* dst, const std::byte* from, bool wanted) { convert(dst, from, wanted); };
      copy_row<4, 4>(k, src, copy);
      copy_row<4, 4>(v, src + params_.v_offset, copy);
    } else if (params_.head_dim % 8 == 0) {
      copy_row<8, 2>(k, src, copy_8);
      copy_row<8, 2>(v, src + params_.v_offset, copy_8);
    } else {
      copy_row<4, 2>(k, src, copy_4);
      copy_row<4, 2>(v, src + params_.v_offset, copy_4);
    }
  }

  /// A row of kQ8 or kQ4; `scales`: where the layer's begin, of which this is row `row`.
  __device__ __forceinline__ void copy_scaled(uint16_t* to, KvType type, const std::byte* src, const std::byte* scales, int row, int row_bytes) const {
    if (type == KvType::kQ4) {
      copy_q4(to, src, scales + row * (row_bytes / 4));  // 4 bytes of scales for 16 of codes
    } else {
      copy_q8(to, src, is_seen() ? reinterpret_cast<const float*>(scales)[row] : 0.0f);
    }
  }

  /// Four lanes share each run of 32 dims.
  __device__ __forceinline__ void copy_q4(uint16_t* to, const std::byte* src, const std::byte* scales) const {
    const int lane = threadIdx.x % 4;
    const int dims = is_seen() ? params_.head_dim : 0;
#pragma unroll
    for (int run = 0; run < kDims / kQ4Run; ++run) {
      const bool wanted = run * kQ4Run < dims;
      const uint32_t codes = wanted ? reinterpret_cast<const uint32_t*>(src)[4 * run + lane] : 0;
      const Q4Dims values = f16_of_q4(codes, wanted ? reinterpret_cast<const uint32_t*>(scales)[run] : 0);
      uint16_t* const dims_of_lane = to + run * kQ4Run + 4 * lane;
      *reinterpret_cast<uint2*>(dims_of_lane) = values.low;
      *reinterpret_cast<uint2*>(dims_of_lane + kQ4Run / 2) = values.high;
    }
  }

  __device__ __forceinline__ void copy_q8(uint16_t* to, const std::byte* src, float scale) const {
    if (params_.head_dim % 8 == 0) {
      copy_row<8, 1>(to, src, [scale](uint16_t* dst, const std::byte* from, bool wanted) {
        const uint2 codes = wanted ? *reinterpret_cast<const uint2*>(from) : make_uint2(0, 0);
        *reinterpret_cast<uint4*>(dst) = make_uint4(f16_of_q8<0>(codes.x, scale), f16_of_q8<2>(codes.x, scale), f16_of_q8<0>(codes.y, scale), f16_of_q8<2>(codes.y, scale));
      });
    } else {
      copy_row<4, 1>(to, src, [scale](uint16_t* dst, const std::byte* from, bool wanted) {
        const uint32_t codes = wanted ? *reinterpret_cast<const uint32_t*>(from) : 0;
        *reinterpret_cast<uint2*>(dst) = make_uint2(f16_of_q8<0>(codes, scale), f16_of_q8<2>(codes, scale));
      });
    }
  }

  /// Floats of 8 bits, all of which f16 has.
  __device__ __forceinline__ void copy_f8(uint16_t* to, const std::byte* src) const {
    if (params_.head_dim % 8 == 0) {
      copy_row<8, 1>(to, src, [](uint16_t* dst, const std::byte* from, bool wanted) {
        const uint2 codes = wanted ? *reinterpret_cast<const uint2*>(from) : make_uint2(0, 0);
        const uint2 low = f16_of_f8(codes.x), high = f16_of_f8(codes.y);
        *reinterpret_cast<uint4*>(dst) = make_uint4(low.x, low.y, high.x, high.y);
      });
    } else {
      copy_row<4, 1>(to, src, [](uint16_t* dst, const std::byte* from, bool wanted) {
        *reinterpret_cast<uint2*>(dst) = f16_of_f8(wanted ? *reinterpret_cast<const uint32_t*>(from) : 0);
      });
    }
  }

  /// kElements elements of kElementBytes at a time by copy(to, from, or else zeros): a row that is not seen is zeros, as are the dims that heads don't have.
  template <int kElements, int kElementBytes, class Copy>
  __device__ __forceinline__ void copy_row(uint16_t* to, const std::byte* src, Copy copy) const {
    constexpr int kBytes = kElements * kElementBytes;
    const int lane = threadIdx.x % 4;
    const int dims = is_seen() ? params_.head_dim - lane * kElements : 0;
    to += lane * kElements;
    src += lane * kBytes;
#pragma unroll
    for (int i = 0; i < kDims / (4 * kElements); ++i) copy(to + 4 * i * kElements, src + 4 * i * kBytes, 4 * i * kElements < dims);
  }

  static __device__ __forceinline__ void convert(uint16_t* dst, const std::byte* src, bool valid) {
    const float4 v = valid ? *reinterpret_cast<const float4*>(src) : make_float4(0, 0, 0, 0);
    *reinterpret_cast<uint2*>(dst) = make_uint2(Product<kElement>::pack(v.x, v.y), Product<kElement>::pack(v.z, v.w));
  }

  const AttentionParams& params_;
  const Shared<kDims, kTile>& shared_;
  int first_key_;   // of the next step
  uint32_t frame_;  // of its key that is this lane's
};

}  // namespace terrace::attention
