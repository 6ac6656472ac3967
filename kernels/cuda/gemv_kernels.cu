#include "kernels/cuda/gemv_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::gemv {

// A block computes one strip. Stage s goes to warp s % kWarps, straight from global memory to registers, kAhead stages at a time.
constexpr int kWarps = 8;
constexpr int kThreads = 32 * kWarps;
constexpr int kPartialStride = 20;  // floats from a row's 16 sums to the next row's: lanes then write to different banks

/// Products of one launch: product i has the blocks from first_block[i] on.
constexpr int kMostProducts = 3;
struct Call {
  DeviceProduct product[kMostProducts];
  int first_block[kMostProducts] = {0, 1 << 30, 1 << 30};
};

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

/// A lane's pointers into the stages that its warp takes, of which the first is `stage`; they move on by kWarps stages a hop.
template <CodeKind kKind, bool kHalfScales, bool kHasMin>
class StageReader {
 public:
  __device__ __forceinline__ StageReader(const DeviceProduct& product, int strip, int stage, int lane)
      : record_hop_(kWarps * (kKind == CodeKind::kHalves ? kStageColumns * 2 : product.weight.record_bytes)),
        sums_hop_(static_cast<int64_t>(kWarps) * kStageGroups * product.x.padded_rows),
        padded_rows_(product.x.padded_rows),
        has_row_(lane / 4 < product.x.num_rows) {
    const DeviceWeight& weight = product.weight;
    const int64_t row_bytes = static_cast<int64_t>(weight.num_stages) * kStageColumns * 2;
    x_ = reinterpret_cast<const uint8_t*>(product.x.values) + (has_row_ ? lane / 4 * row_bytes : 0) + stage * kStageColumns * 2 + lane % 4 * 16;
    sums_ = product.x.sums + static_cast<int64_t>(stage) * kStageGroups * padded_rows_ + lane % 4 * 2;
    if constexpr (kKind == CodeKind::kHalves) {
      const int output = strip * kStripOutputs + lane / 4, last = weight.num_outputs - 1;  // sums of outputs beyond are not stored
      const uint8_t* column = weight.data + stage * kStageColumns * 2 + lane % 4 * 16;
      codes_ = column + (output < last ? output : last) * row_bytes;
      lower_ = column + (output + 8 < last ? output + 8 : last) * row_bytes;
    } else {
      const uint8_t* record = weight.data + (static_cast<int64_t>(strip) * weight.num_stages + stage) * weight.record_bytes;
      codes_ = record + lane * 16;
      lower_ = record + code_bytes(kKind) + lane / 4 * kEntryBytes;
    }
  }

  /// Of the stage `hop` hops on.
  __device__ __forceinline__ void read(int hop, LaneStage<kKind>& to) const {
    const int64_t hop_bytes = static_cast<int64_t>(hop) * record_hop_;
#pragma unroll
    for (int i = 0; i < LanePieces<kKind>::kPerStage; ++i) {
      const uint8_t* piece = kKind == CodeKind::kHalves ? (i % 2 == 0 ? codes_ : lower_) + i / 2 * 64 : codes_ + i * 512;
      to.pieces.piece[i] = ptx::load_streaming(piece + hop_bytes);
    }
#pragma unroll
    for (int group = 0; group < kStageGroups; ++group) {
      to.x[group] = make_uint4(0, 0, 0, 0);
      if (has_row_) to.x[group] = *reinterpret_cast<const uint4*>(x_ + hop * kWarps * kStageColumns * 2 + group * 64);
      if constexpr (kHasMin) to.sums[group] = *reinterpret_cast<const float2*>(sums_ + hop * sums_hop_ + group * padded_rows_);
#pragma unroll
      for (int i = 0; i < scale_groups(kKind); ++i) {
        to.scales[group][i] = read_scales(lower_ + hop_bytes + (group * scale_groups(kKind) + i) * 8 * kEntryBytes, kHalfScales, kHasMin);
      }
    }
  }

  __device__ __forceinline__ void skip(int hops) {
    codes_ += static_cast<int64_t>(hops) * record_hop_;
    lower_ += static_cast<int64_t>(hops) * record_hop_;
    x_ += hops * kWarps * kStageColumns * 2;
    sums_ += hops * sums_hop_;
  }

 private:
  static constexpr int kEntryBytes = scale_entry_bytes(kHalfScales, kHasMin);

  const uint8_t* codes_;
  const uint8_t* lower_;  // the entries of scales; kHalves: output g + 8
  const uint8_t* x_;
  const float* sums_;
  int record_hop_;
  int64_t sums_hop_;
  int padded_rows_;
  bool has_row_;
};

template <CodeKind kKind, bool kHasMin>
__device__ __forceinline__ void multiply_stage(const DeviceWeight& weight, const LaneStage<kKind>& stage, float (&acc)[4]) {
#pragma unroll
  for (int group = 0; group < kStageGroups; ++group) {
    multiply_group<kKind>(acc, expand<kKind>(stage.pieces, group, weight), stage.x[group], stage.scales[group]);
    if constexpr (kHasMin) add_min(acc, stage.scales[group][0], stage.sums[group]);
  }
}

template <CodeKind kKind, bool kHalfScales, bool kHasMin>
__global__ void __launch_bounds__(kThreads, 2) gemv_kernel(Call call) {
  __shared__ float partial[kWarps][kGemvRows * kPartialStride];
  DeviceProduct product = call.product[0];
  int strip = static_cast<int>(blockIdx.x);
#pragma unroll
  for (int i = 1; i < kMostProducts; ++i) {
    if (static_cast<int>(blockIdx.x) < call.first_block[i]) continue;
    product = call.product[i];
    strip = static_cast<int>(blockIdx.x) - call.first_block[i];
  }
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int num_stages = product.weight.num_stages;
  float acc[4] = {};
  StageReader<kKind, kHalfScales, kHasMin> reader(product, strip, warp, lane);
  for (int left = (num_stages - warp + kWarps - 1) / kWarps; left > 0; left -= kAhead<kKind>) {  // stages of this warp
    LaneStage<kKind> stages[kAhead<kKind>];
#pragma unroll
    for (int i = 0; i < kAhead<kKind>; ++i) {
      if (i < left) reader.read(i, stages[i]);
    }
#pragma unroll
    for (int i = 0; i < kAhead<kKind>; ++i) {
      if (i < left) multiply_stage<kKind, kHasMin>(product.weight, stages[i], acc);
    }
    reader.skip(kAhead<kKind>);
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
  product.out[row * product.out_stride + output] = finish_sum(product, kKind, sum, row, output);
}

unsigned num_strips(const DeviceProduct& product) {
  return static_cast<unsigned>((product.weight.num_outputs + kStripOutputs - 1) / kStripOutputs);
}

bool same_format(const DeviceWeight& a, const DeviceWeight& b) { return a.kind == b.kind && a.half_scales == b.half_scales && a.has_min == b.has_min; }

template <CodeKind kKind, bool kHalfScales, bool kHasMin>
void launch_format(const Call& call, unsigned num_blocks, cudaStream_t stream) {
  launch("the product of few rows", {dim3(num_blocks), dim3(kThreads), 0, stream}, gemv_kernel<kKind, kHalfScales, kHasMin>, call);
}

/// The formats of 32 columns a scale that GGUF has: f16 scales without or with mins, float scales with mins.
template <CodeKind kKind>
void launch_kind(const Call& call, unsigned num_blocks, cudaStream_t stream) {
  const DeviceWeight& weight = call.product[0].weight;
  if (!weight.half_scales) {
    launch_format<kKind, false, true>(call, num_blocks, stream);
  } else if (weight.has_min) {
    launch_format<kKind, true, true>(call, num_blocks, stream);
  } else {
    launch_format<kKind, true, false>(call, num_blocks, stream);
  }
}

void launch_call(const Call& call, unsigned num_blocks, cudaStream_t stream) {
  switch (call.product[0].weight.kind) {
    case CodeKind::kNibbles: return launch_kind<CodeKind::kNibbles>(call, num_blocks, stream);
    case CodeKind::kBytes: return launch_kind<CodeKind::kBytes>(call, num_blocks, stream);
    case CodeKind::kSixteenths: return launch_format<CodeKind::kSixteenths, false, false>(call, num_blocks, stream);
    case CodeKind::kHalves: return launch_format<CodeKind::kHalves, false, false>(call, num_blocks, stream);
  }
}

}  // namespace terrace::gemv

namespace terrace {

void launch_gemv(const DeviceProduct* products, int count, cudaStream_t stream) {
  for (int first = 0; first < count;) {
    gemv::Call call;
    unsigned num_blocks = 0;
    int taken = 0;
    while (taken < gemv::kMostProducts && first + taken < count && gemv::same_format(products[first].weight, products[first + taken].weight)) {
      call.product[taken] = products[first + taken];
      call.first_block[taken] = static_cast<int>(num_blocks);
      num_blocks += gemv::num_strips(products[first + taken]);
      ++taken;
    }
    gemv::launch_call(call, num_blocks, stream);
    first += taken;
  }
}

}  // namespace terrace
