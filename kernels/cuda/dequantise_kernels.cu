#include "kernels/cuda/dequantise_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::dequantise {

// A warp takes one strip of one stage at a time, a block a strip and kBlockStages stages.
constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;
constexpr int kBlockStages = 16;

struct Slice {
  int first_output;
  int num_outputs;
  float inverse_scale;
  uint16_t* rows;
};

__device__ __forceinline__ uint32_t weight_pair(uint32_t codes, float scale, float min, float inverse_scale) {
  const float2 pair = __half22float2(as_half2(codes));
  return half2_bits(__floats2half2_rn(fmaf(scale, pair.x, min) * inverse_scale, fmaf(scale, pair.y, min) * inverse_scale));
}

/// A lane's eight weights of output g + 8 * upper in one group, in the order of DeviceRows.
__device__ __forceinline__ uint4 weights_of(const WeightFragments& codes, const ScalePair& first, const ScalePair& second, int upper, float inverse_scale) {
  const float scales[] = {first.scale[upper], second.scale[upper]}, mins[] = {first.min[upper], second.min[upper]};
  const auto pair = [&](int step, int at) { return weight_pair(codes.step[step][at + upper], scales[step], mins[step], inverse_scale); };
  return make_uint4(pair(0, 0), pair(0, 2), pair(1, 0), pair(1, 2));
}

template <CodeKind kKind>
__global__ void __launch_bounds__(kThreads) dequantise_kernel(DeviceWeight weight, Slice slice) {
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int strip = slice.first_output / kStripOutputs + static_cast<int>(blockIdx.x);
  const int first = static_cast<int>(blockIdx.y) * kBlockStages;
  const int end = first + kBlockStages < weight.num_stages ? first + kBlockStages : weight.num_stages;
  const int entry_bytes = scale_entry_bytes(weight.half_scales, weight.has_min);
  for (int stage = first + warp; stage < end; stage += kWarps) {
    const uint8_t* record = weight.data + (static_cast<int64_t>(strip) * weight.num_stages + stage) * weight.record_bytes;
    LanePieces<kKind> pieces;
#pragma unroll
    for (int i = 0; i < LanePieces<kKind>::kPerStage; ++i) pieces.piece[i] = ptx::load_streaming(record + i * 512 + lane * 16);
#pragma unroll
    for (int group = 0; group < kStageGroups; ++group) {
      const WeightFragments codes = expand<kKind>(pieces, group, weight);
      const uint8_t* entries = record + code_bytes(kKind) + (group * scale_groups(kKind) * 8 + lane / 4) * entry_bytes;
      const ScalePair first_half = read_scales(entries, weight.half_scales, weight.has_min);
      const ScalePair second_half = scale_groups(kKind) == 1 ? first_half : read_scales(entries + 8 * entry_bytes, weight.half_scales, weight.has_min);
#pragma unroll
      for (int upper = 0; upper < 2; ++upper) {
        const int output = static_cast<int>(blockIdx.x) * kStripOutputs + lane / 4 + 8 * upper;
        const int64_t stage_at = (static_cast<int64_t>(output) * weight.num_stages + stage) * kStageColumns;
        const uint4 values = weights_of(codes, first_half, second_half, upper, slice.inverse_scale);
        if (output < slice.num_outputs) *reinterpret_cast<uint4*>(slice.rows + stage_at + group * kGroupColumns + lane % 4 * 8) = values;
      }
    }
  }
}

__global__ void multiply_scalar_kernel(const float* a, float b, float* product) { *product = *a * b; }

}  // namespace terrace::dequantise

namespace terrace {

void launch_dequantise(const DeviceWeight& weight, int first_output, int num_outputs, uint16_t* rows, cudaStream_t stream) {
  using namespace dequantise;
  const dim3 grid((num_outputs + kStripOutputs - 1) / kStripOutputs, (weight.num_stages + kBlockStages - 1) / kBlockStages);
  const LaunchShape shape = {grid, dim3(kThreads), 0, stream};
  const Slice slice = {first_output, num_outputs, 1.0f / weight.scale, rows};
  switch (weight.kind) {
    case CodeKind::kNibbles: return launch("dequantisation", shape, dequantise_kernel<CodeKind::kNibbles>, weight, slice);
    case CodeKind::kBytes: return launch("dequantisation", shape, dequantise_kernel<CodeKind::kBytes>, weight, slice);
    case CodeKind::kSixteenths: return launch("dequantisation", shape, dequantise_kernel<CodeKind::kSixteenths>, weight, slice);
    case CodeKind::kHalves: break;  // are such rows as they lie
  }
}

void launch_multiply_scalar(const float* a, float b, float* product, cudaStream_t stream) {
  launch("a factor of a matrix product", {dim3(1), dim3(1), 0, stream}, dequantise::multiply_scalar_kernel, a, b, product);
}

}  // namespace terrace
