#include "kernels/cuda/gemv_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::gemv {

// A block computes one strip. Stage s goes to warp s % kWarps, straight from global memory to registers, kAhead stages at a time.
constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kPartialStride = 20;  // floats from a row's 16 sums to the next row's: lanes then write to different banks

/// Stages whose loads are under way at once: at least 16 KiB of codes a block.
template <CodeKind kKind>
constexpr int kAhead = kKind == CodeKind::kNibbles ? 4 : 2;

/// What a lane multiplies in one stage.
template <CodeKind kKind>
struct LaneStage {
  LanePieces<kKind> pieces;
  uint4 x[kStageGroups];
  float2 sums[kStageGroups];
  ScalePair scales[kStageGroups][2];
};

template <CodeKind kKind>
__device__ __forceinline__ void load_codes(const DeviceWeight& weight, int strip, int stage, int lane, LanePieces<kKind>& pieces) {
  if constexpr (kKind == CodeKind::kHalves) {
    const int64_t row_bytes = static_cast<int64_t>(weight.num_stages) * kStageColumns * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int output = strip * kStripOutputs + lane / 4 + i % 2 * 8;
      const int inside = output < weight.num_outputs ? output : weight.num_outputs - 1;  // sums of outputs beyond are not stored
      pieces.piece[i] = ptx::load_streaming(weight.data + inside * row_bytes + stage * kStageColumns * 2 + i / 2 * 64 + lane % 4 * 16);
    }
  } else {
    const uint8_t* record = weight.data + (static_cast<int64_t>(strip) * weight.num_stages + stage) * weight.record_bytes;
#pragma unroll
    for (int i = 0; i < LanePieces<kKind>::kPerStage; ++i) pieces.piece[i] = ptx::load_streaming(record + i * 512 + lane * 16);
  }
}

template <CodeKind kKind, bool kHalfScales, bool kHasMin>
__device__ __forceinline__ void load_stage(const DeviceProduct& product, int strip, int stage, int lane, LaneStage<kKind>& to) {
  const DeviceWeight& weight = product.weight;
  const DeviceRows& x = product.x;
  load_codes<kKind>(weight, strip, stage, lane, to.pieces);
  const int row = lane / 4;
  const int64_t row_halves = static_cast<int64_t>(x.num_stages) * kStageColumns;
  const uint8_t* entries = weight.data + (static_cast<int64_t>(strip) * weight.num_stages + stage) * weight.record_bytes + code_bytes(kKind);
  constexpr int kEntryBytes = scale_entry_bytes(kHalfScales, kHasMin);
#pragma unroll
  for (int group = 0; group < kStageGroups; ++group) {
    to.x[group] = make_uint4(0, 0, 0, 0);
    if (row < x.num_rows) to.x[group] = *reinterpret_cast<const uint4*>(x.values + row * row_halves + stage * kStageColumns + group * kGroupColumns + lane % 4 * 8);
    if constexpr (kHasMin) {
      to.sums[group] = *reinterpret_cast<const float2*>(x.sums + static_cast<int64_t>(stage * kStageGroups + group) * x.padded_rows + lane % 4 * 2);
    }
#pragma unroll
    for (int i = 0; i < scale_groups(kKind); ++i) {
      to.scales[group][i] = read_scales(entries + ((group * scale_groups(kKind) + i) * 8 + row) * kEntryBytes, kHalfScales, kHasMin);
    }
  }
}

template <CodeKind kKind, bool kHasMin>
__device__ __forceinline__ void multiply_stage(const DeviceWeight& weight, const LaneStage<kKind>& stage, float (&acc)[4]) {
#pragma unroll
  for (int group = 0; group < kStageGroups; ++group) {
    multiply_group<kKind>(acc, expand<kKind>(stage.pieces, group, weight), stage.x[group], stage.scales[group]);
    if constexpr (kHasMin) add_min(acc, stage.scales[group][0], stage.sums[group]);
  }
}

template <CodeKind kKind, bool kHalfScales, bool kHasMin>
__global__ void __launch_bounds__(kThreads, 2) gemv_kernel(DeviceProduct product) {
  __shared__ float partial[kWarps][kGemvRows * kPartialStride];
  const int strip = static_cast<int>(blockIdx.x), warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int num_stages = product.weight.num_stages;
  float acc[4] = {};
  for (int first = warp; first < num_stages; first += kWarps * kAhead<kKind>) {
    LaneStage<kKind> stages[kAhead<kKind>];
#pragma unroll
    for (int i = 0; i < kAhead<kKind>; ++i) {
      if (first + i * kWarps < num_stages) load_stage<kKind, kHalfScales, kHasMin>(product, strip, first + i * kWarps, lane, stages[i]);
    }
#pragma unroll
    for (int i = 0; i < kAhead<kKind>; ++i) {
      if (first + i * kWarps < num_stages) multiply_stage<kKind, kHasMin>(product.weight, stages[i], acc);
    }
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) partial[warp][(lane % 4 * 2 + i % 2) * kPartialStride + lane / 4 + i / 2 * 8] = acc[i];
  __syncthreads();
  const int row = static_cast<int>(threadIdx.x) / kStripOutputs, in_strip = static_cast<int>(threadIdx.x) % kStripOutputs;
  const int output = strip * kStripOutputs + in_strip;
  if (row >= product.x.num_rows || output >= product.weight.num_outputs) return;
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kWarps; ++i) sum += partial[i][row * kPartialStride + in_strip];
  product.out[row * product.out_stride + output] = finish_sum<kKind>(product, sum, row, output);
}

template <CodeKind kKind, bool kHalfScales, bool kHasMin>
void launch_format(const DeviceProduct& product, cudaStream_t stream) {
  const unsigned num_strips = static_cast<unsigned>((product.weight.num_outputs + kStripOutputs - 1) / kStripOutputs);
  launch("the product of few rows", {dim3(num_strips), dim3(kThreads), 0, stream}, gemv_kernel<kKind, kHalfScales, kHasMin>, product);
}

/// The formats of 32 columns a scale that GGUF has: f16 scales without or with mins, float scales with mins.
template <CodeKind kKind>
void launch_kind(const DeviceProduct& product, cudaStream_t stream) {
  if (!product.weight.half_scales) {
    launch_format<kKind, false, true>(product, stream);
  } else if (product.weight.has_min) {
    launch_format<kKind, true, true>(product, stream);
  } else {
    launch_format<kKind, true, false>(product, stream);
  }
}

}  // namespace terrace::gemv

namespace terrace {

void launch_gemv(const DeviceProduct& product, cudaStream_t stream) {
  switch (product.weight.kind) {
    case CodeKind::kNibbles: return gemv::launch_kind<CodeKind::kNibbles>(product, stream);
    case CodeKind::kBytes: return gemv::launch_kind<CodeKind::kBytes>(product, stream);
    case CodeKind::kSixteenths: return gemv::launch_format<CodeKind::kSixteenths, false, false>(product, stream);
    case CodeKind::kHalves: return gemv::launch_format<CodeKind::kHalves, false, false>(product, stream);
  }
}

}  // namespace terrace
