// What a block of attention keeps in shared memory, and how queries, keys and values come there: K and V of 32 keys at a time by
// cp.async into a ring, from pages that lie anywhere. Rows are 16 bytes longer than their elements, so that the 8 rows which
// ldmatrix reads at a time lie in different banks, and all addresses in a tile are one register and a constant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/attention_arithmetic.cuh"

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
  const uint32_t* frames;                            // of its sequence
  const std::byte* kv;                               // the pool, with the layer's and the head's offset added
  const std::byte* host_kv;                          // likewise
  alignas(16) uint16_t q[kRows][kStride];
  alignas(16) Stage stages[kStages];
  alignas(16) uint32_t weights[kGroups][2][32][4];  // of a step, as a lane's A fragments of 16 keys each; this and the next where warps share
  float maxima[kWarps][16];                         // over each warp's keys
  float scale[kRows];                               // turns a row's scores into exponents of 2
};

template <int kDims, AttentionTile kTile>
__device__ __forceinline__ void open_unit(Shared<kDims, kTile>& shared, const AttentionParams& params, int index) {
  shared.unit = (*params.units)[index];
  shared.frames = *params.frames + shared.unit.first_page;
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
    const float* src = params.q + (unit.first_token + unit_row / unit.heads) * params.q_stride + (unit.first_head + unit_row % unit.heads) * params.head_dim;
    float4 values[kPasses];
    float largest = 0;
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int dim = 128 * i + 4 * lane;
      values[i] = row < unit.num_rows && dim < params.head_dim ? *reinterpret_cast<const float4*>(src + dim) : make_float4(0, 0, 0, 0);
      largest = fmaxf(largest, fmaxf(fmaxf(fabsf(values[i].x), fabsf(values[i].y)), fmaxf(fabsf(values[i].z), fabsf(values[i].w))));
    }
#pragma unroll
    for (int mask = 16; mask > 0; mask /= 2) largest = fmaxf(largest, __shfl_xor_sync(kAllLanes, largest, mask));
    const int excess = Product<kElement>::excess(largest);
    const float down = __uint_as_float(static_cast<uint32_t>(127 - excess) << 23);
#pragma unroll
    for (int i = 0; i < kPasses; ++i) {
      const int dim = 128 * i + 4 * lane;
      if (dim >= kDims) continue;
      const float4 v = values[i];
      *reinterpret_cast<uint2*>(&shared.q[row][dim]) =
          make_uint2(Product<kElement>::pack(v.x * down, v.y * down), Product<kElement>::pack(v.z * down, v.w * down));
    }
    if (lane == 0) shared.scale[row] = params.scale_log2 * __uint_as_float(static_cast<uint32_t>(127 + excess) << 23);
  }
}

/// Brings K and V of the unit's KV head into the ring, a step at a time; used by the whole block. Four lanes copy a key, 64 bytes side
/// by side; neighbours have rows 4 apart, which lie in different banks.
template <int kDims, AttentionTile kTile, KvElement kElement>
class KvStager {
 public:
  using Stage = typename Shared<kDims, kTile>::Stage;

  __device__ __forceinline__ KvStager(const AttentionParams& params, const Shared<kDims, kTile>& shared) : params_(params), shared_(shared) {
    find_frame(shared.unit.kv_begin);
  }

  /// Starts the copies of the keys from `first_key` on; zeros from the unit's end on. One group per call, empty if all are beyond. Steps
  /// come in order: the page of the next one is looked up here.
  __device__ __forceinline__ void copy(Stage& stage, int first_key) {
    if (first_key < shared_.unit.kv_end) {
      const bool valid = first_key + row() < shared_.unit.kv_end;
      const int in_page = key_of(first_key) & ((1 << params_.page_shift) - 1);
      const std::byte* pool = frame_ < params_.num_frames ? shared_.kv : shared_.host_kv;
      const std::byte* src = pool + frame_ * params_.page_stride + in_page * params_.row_bytes;
      uint16_t* const k = stage.k[row()];
      uint16_t* const v = stage.v[row()];
      if constexpr (kElement == KvElement::kF32) {
        copy_row<4>(k, v, src, valid, [](uint16_t* dst, const std::byte* from, bool wanted) { convert(dst, from, wanted); });
      } else if (params_.head_dim % 8 == 0) {
        copy_row<8>(k, v, src, valid, [](uint16_t* dst, const std::byte* from, bool wanted) { ptx::cp_async_16(dst, from, wanted); });
      } else {
        copy_row<4>(k, v, src, valid, [](uint16_t* dst, const std::byte* from, bool wanted) { ptx::cp_async_8(dst, from, wanted); });
      }
      find_frame(first_key + kStepKeys);
    }
    ptx::cp_async_commit();
  }

 private:
  /// Of a stage, that this lane helps to copy.
  static __device__ __forceinline__ int row() { return threadIdx.x / 32 * 8 + threadIdx.x / 8 % 4 + threadIdx.x / 4 % 2 * 4; }
  /// This lane's; the unit's last stands in for those beyond.
  __device__ __forceinline__ int key_of(int first_key) const {
    const int last = shared_.unit.kv_end - 1;
    return first_key + row() < last ? first_key + row() : last;
  }
  __device__ __forceinline__ void find_frame(int first_key) { frame_ = shared_.frames[key_of(first_key) >> params_.page_shift]; }

  /// kElements elements at a time by copy(to, from, or else zeros): a row that is not valid is zeros, as are the dims that heads don't have.
  template <int kElements, class Copy>
  __device__ __forceinline__ void copy_row(uint16_t* k, uint16_t* v, const std::byte* src, bool valid, Copy copy) const {
    constexpr int kBytes = kElements * (kElement == KvElement::kF32 ? 4 : 2);
    const int lane = threadIdx.x % 4;
    const int dims = valid ? params_.head_dim - lane * kElements : 0;
    k += lane * kElements;
    v += lane * kElements;
    src += lane * kBytes;
    const std::byte* const v_src = src + params_.v_offset;
#pragma unroll
    for (int i = 0; i < kDims / (4 * kElements); ++i) {
      copy(k + 4 * i * kElements, src + 4 * i * kBytes, 4 * i * kElements < dims);
      copy(v + 4 * i * kElements, v_src + 4 * i * kBytes, 4 * i * kElements < dims);
    }
  }

  static __device__ __forceinline__ void convert(uint16_t* dst, const std::byte* src, bool valid) {
    const float4 v = valid ? *reinterpret_cast<const float4*>(src) : make_float4(0, 0, 0, 0);
    *reinterpret_cast<uint2*>(dst) = make_uint2(Product<kElement>::pack(v.x, v.y), Product<kElement>::pack(v.z, v.w));
  }

  const AttentionParams& params_;
  const Shared<kDims, kTile>& shared_;
  uint32_t frame_;  // of the next step's key
};

}  // namespace terrace::attention
