#include "kernels/cuda/gemm_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::gemm {

// A block of 4 warps computes kRows rows by 4 * kStrips strips of outputs. Stages of 64 columns go through a ring of shared memory; a slot holds
//   x       [2 groups][kRows][32] f16: a lane's 16 bytes of a row and group lie so that eight neighbouring lanes read 128 bytes in a row
//   sums    [2 groups][kRows] float
//   strips  [4 * kStrips][record]
constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

// Splitting: enough blocks for all multiprocessors, pieces long enough to fill the ring, and few enough partial sums to add.
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kLeastStages = 4;
constexpr int kMostSplits = 16;

template <int kRows>
struct TileShape {
  static constexpr int kStrips = kRows >= 32 ? 2 : 1;  // of a warp
  static constexpr int kSlots = kRows >= 64 ? 3 : kRows == 32 ? 4 : 5;
  static constexpr int kMinBlocks = kRows >= 64 ? 2 : kRows == 32 ? 3 : 6;  // of a multiprocessor, for their registers
  static constexpr int kBlockStrips = kWarps * kStrips;
  static constexpr int kSumsAt = kRows * kStageColumns * 2;
  static constexpr int kStripsAt = kSumsAt + kRows * kStageGroups * 4;
  static __host__ __device__ constexpr int slot_bytes(int record_bytes) { return kStripsAt + kBlockStrips * record_bytes; }
};

/// What this lane copies of each stage: pointers to its pieces of the stage that is loaded next, which move on by a stage.
template <CodeKind kKind, int kRows>
class StageLoader {
 public:
  __device__ __forceinline__ StageLoader(const DeviceProduct& product, int first_row, int first_strip, int first_stage)
      : weight_(product.weight), sums_step_(static_cast<int64_t>(product.x.padded_rows) * kStageGroups * 4) {
    const int thread = static_cast<int>(threadIdx.x);
    const DeviceRows& x = product.x;
    const int row = first_row + thread / 4 % kRows;
    const int64_t row_bytes = static_cast<int64_t>(x.num_stages) * kStageColumns * 2;
#pragma unroll
    for (int i = 0; i < kRowHops; ++i) row_valid_[i] = row + 32 * i < x.padded_rows;
    rows_ = reinterpret_cast<const unsigned char*>(x.values) + (row_valid_[0] ? row * row_bytes : 0) + thread / (4 * kRows) * 64 + thread % 4 * 16;
    row_hop_ = 32 * row_bytes;
    const int sums_row = first_row + thread % (kRows / 4) * 4;
    sums_valid_ = sums_row < x.padded_rows;
    sums_ = reinterpret_cast<const unsigned char*>(x.sums + static_cast<int64_t>(thread / (kRows / 4)) * x.padded_rows + (sums_valid_ ? sums_row : 0));
    place_strips(first_strip, thread % 32);
    skip(first_stage);
  }

  /// Starts the copies of the next stage.
  __device__ __forceinline__ void load(unsigned char* slot) {
    load_rows(slot);
    unsigned char* strips = slot + Shape::kStripsAt + static_cast<int>(threadIdx.x) / 32 * Shape::kStrips * weight_.record_bytes;
#pragma unroll
    for (int f = 0; f < Shape::kStrips; ++f) load_strip(f, strips + f * weight_.record_bytes);
    skip(1);
  }

 private:
  using Shape = TileShape<kRows>;
  static constexpr int kRowHops = kRows >= 32 ? kRows / 32 : 1;  // rows of one group that a lane copies

  __device__ __forceinline__ void skip(int stages) {
    rows_ += stages * kStageColumns * 2;
    sums_ += stages * sums_step_;
    strips_ += static_cast<int64_t>(stages) * (kKind == CodeKind::kHalves ? kStageColumns * 2 : weight_.record_bytes);
  }

  __device__ __forceinline__ void place_strips(int first_strip, int lane) {
    const int64_t output_bytes = static_cast<int64_t>(weight_.num_stages) * kStageColumns * 2;
    strip_hop_ = kKind == CodeKind::kHalves ? kStripOutputs * output_bytes : static_cast<int64_t>(weight_.num_stages) * weight_.record_bytes;
    output_ = first_strip * kStripOutputs + lane / 4;
#pragma unroll
    for (int f = 0; f < Shape::kStrips; ++f) strip_valid_[f] = (first_strip + f) * kStripOutputs < weight_.num_outputs;
    const int64_t first = strip_valid_[0] ? first_strip * strip_hop_ : 0;
    strips_ = weight_.data + first + lane % 4 * 16 + (kKind == CodeKind::kHalves ? lane / 4 * output_bytes : lane / 4 * 64);
    half_hop_ = 8 * output_bytes;
  }

  __device__ __forceinline__ void load_rows(unsigned char* slot) {
    const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
    for (int i = 0; i < kRows * 8 / kThreads; ++i) {
      const int hop = i % kRowHops;
      ptx::cp_async_16(slot + thread * 16 + i * kThreads * 16, row_valid_[hop] ? rows_ + hop * row_hop_ + i / kRowHops * 64 : rows_, row_valid_[hop]);
    }
    if (kKind != CodeKind::kHalves && weight_.has_min && thread < kRows * kStageGroups / 4) {
      ptx::cp_async_16(slot + Shape::kSumsAt + thread * 16, sums_, sums_valid_);
    }
  }

  /// Strip `f` of this warp.
  __device__ __forceinline__ void load_strip(int f, unsigned char* to) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const unsigned char* from = strip_valid_[f] ? strips_ + f * strip_hop_ : strips_;
    if constexpr (kKind == CodeKind::kHalves) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const bool inside = output_ + f * kStripOutputs + i % 2 * 8 < weight_.num_outputs;
        ptx::cp_async_16(to + (lane + 32 * i) * 16, inside ? from + i % 2 * half_hop_ + i / 2 * 64 : weight_.data, inside);
      }
    } else {
      for (int at = 0; at + lane * 16 < weight_.record_bytes; at += 32 * 16) ptx::cp_async_16(to + at + lane * 16, from + at, strip_valid_[f]);
    }
  }

  const DeviceWeight& weight_;
  const unsigned char* rows_;
  const unsigned char* sums_;
  const unsigned char* strips_;
  int64_t row_hop_, sums_step_, strip_hop_, half_hop_;
  int output_;
  bool row_valid_[kRowHops], strip_valid_[Shape::kStrips], sums_valid_;
};

template <CodeKind kKind>
__device__ __forceinline__ LanePieces<kKind> read_pieces(const unsigned char* strip, int lane) {
  LanePieces<kKind> pieces;
#pragma unroll
  for (int i = 0; i < LanePieces<kKind>::kPerStage; ++i) {
    // kHalves: piece 2 group + h is output g + 8 h, which lies 64 bytes an output.
    pieces.piece[i] = *reinterpret_cast<const uint4*>(strip + i * 512 + lane * 16);
  }
  return pieces;
}

/// acc += min * (sum of x over the group).
template <int kRows>
__device__ __forceinline__ void add_mins(const unsigned char* slot, int group, int lane, const ScalePair (&scales)[TileShape<kRows>::kStrips][2],
                                         float (&acc)[TileShape<kRows>::kStrips][kRows / 8][4]) {
#pragma unroll
  for (int j = 0; j < kRows / 8; ++j) {
    const float2 sums = *reinterpret_cast<const float2*>(slot + TileShape<kRows>::kSumsAt + (group * kRows + j * 8 + lane % 4 * 2) * 4);
#pragma unroll
    for (int f = 0; f < TileShape<kRows>::kStrips; ++f) add_min(acc[f][j], scales[f][0], sums);
  }
}

/// Adds one stage to the warp's sums.
template <CodeKind kKind, int kRows>
__device__ __forceinline__ void multiply_stage(const DeviceWeight& weight, const unsigned char* slot, int lane,
                                               float (&acc)[TileShape<kRows>::kStrips][kRows / 8][4]) {
  using Shape = TileShape<kRows>;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const unsigned char* strips = slot + Shape::kStripsAt + warp * Shape::kStrips * weight.record_bytes;
  LanePieces<kKind> pieces[Shape::kStrips];
#pragma unroll
  for (int f = 0; f < Shape::kStrips; ++f) pieces[f] = read_pieces<kKind>(strips + f * weight.record_bytes, lane);
  const int entry_bytes = scale_entry_bytes(weight.half_scales, weight.has_min);
#pragma unroll
  for (int group = 0; group < kStageGroups; ++group) {
    WeightFragments fragments[Shape::kStrips];
    ScalePair scales[Shape::kStrips][2] = {};
#pragma unroll
    for (int f = 0; f < Shape::kStrips; ++f) {
      fragments[f] = expand<kKind>(pieces[f], group, weight);
      const unsigned char* entries = strips + f * weight.record_bytes + code_bytes(kKind);
#pragma unroll
      for (int i = 0; i < scale_groups(kKind); ++i) {
        scales[f][i] = read_scales(entries + ((group * scale_groups(kKind) + i) * 8 + lane / 4) * entry_bytes, weight.half_scales, weight.has_min);
      }
    }
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j) {
      const uint4 x = *reinterpret_cast<const uint4*>(slot + (group * kRows + j * 8) * 64 + lane * 16);
#pragma unroll
      for (int f = 0; f < Shape::kStrips; ++f) multiply_group<kKind>(acc[f][j], fragments[f], x, scales[f]);
    }
    if constexpr (kKind != CodeKind::kHalves) {
      if (weight.has_min) add_mins<kRows>(slot, group, lane, scales, acc);
    }
  }
}

/// The sums of one strip by 8 rows: element i is row 2 q + i % 2, output g + 8 (i / 2).
template <CodeKind kKind>
__device__ __forceinline__ void store_sums(const DeviceProduct& product, int first_row, int strip, int lane, const float (&acc)[4]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int row = first_row + lane % 4 * 2 + i % 2, output = strip * kStripOutputs + lane / 4 + i / 2 * 8;
    if (row >= product.x.num_rows || output >= product.weight.num_outputs) continue;
    if (product.num_splits == 1) {
      product.out[row * product.out_stride + output] = finish_sum(product, kKind, acc[i], row, output);
    } else {
      product.partials[(static_cast<int64_t>(blockIdx.z) * product.x.num_rows + row) * product.weight.num_outputs + output] = acc[i];
    }
  }
}

template <CodeKind kKind, int kRows>
__global__ void __launch_bounds__(kThreads, TileShape<kRows>::kMinBlocks) gemm_kernel(DeviceProduct product) {
  using Shape = TileShape<kRows>;
  TERRACE_DYNAMIC_SHARED(shared);
  const int split = static_cast<int>(blockIdx.z);
  const int first_stage = split * product.weight.num_stages / product.num_splits;
  const int num_stages = (split + 1) * product.weight.num_stages / product.num_splits - first_stage;
  const int slot_bytes = Shape::slot_bytes(product.weight.record_bytes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int first_row = static_cast<int>(blockIdx.y) * kRows, first_strip = static_cast<int>(blockIdx.x) * Shape::kBlockStrips + warp * Shape::kStrips;
  StageLoader<kKind, kRows> loader(product, first_row, first_strip, first_stage);
#pragma unroll
  for (int stage = 0; stage < Shape::kSlots - 1; ++stage) {
    if (stage < num_stages) loader.load(shared + stage * slot_bytes);
    ptx::cp_async_commit();
  }
  float acc[Shape::kStrips][kRows / 8][4] = {};
  unsigned char* const end = shared + Shape::kSlots * slot_bytes;
  unsigned char *slot = shared, *next_slot = end - slot_bytes;
  for (int stage = 0; stage < num_stages; ++stage) {
    ptx::cp_async_wait<Shape::kSlots - 2>();
    __syncthreads();  // this stage is there, and all have read the one whose slot is filled next
    if (stage + Shape::kSlots - 1 < num_stages) loader.load(next_slot);
    ptx::cp_async_commit();
    multiply_stage<kKind, kRows>(product.weight, slot, lane, acc);
    slot = slot + slot_bytes == end ? shared : slot + slot_bytes;
    next_slot = next_slot + slot_bytes == end ? shared : next_slot + slot_bytes;
  }
#pragma unroll
  for (int f = 0; f < Shape::kStrips; ++f) {
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j) store_sums<kKind>(product, first_row + j * 8, first_strip + f, lane, acc[f][j]);
  }
}

template <CodeKind kKind, int kRows>
void launch_tile(const DeviceProduct& product, cudaStream_t stream) {
  using Shape = TileShape<kRows>;
  const int block_outputs = Shape::kBlockStrips * kStripOutputs;
  const dim3 grid((product.weight.num_outputs + block_outputs - 1) / block_outputs, (product.x.num_rows + kRows - 1) / kRows, product.num_splits);
  launch("the matrix product", {grid, dim3(kThreads), static_cast<size_t>(Shape::kSlots * Shape::slot_bytes(product.weight.record_bytes)), stream},
         gemm_kernel<kKind, kRows>, product);
}

__global__ void __launch_bounds__(kThreads) add_splits_kernel(DeviceProduct product) {
  const int output = static_cast<int>(blockIdx.x * kThreads + threadIdx.x), row = static_cast<int>(blockIdx.y);
  if (output >= product.weight.num_outputs) return;
  const int64_t split_floats = static_cast<int64_t>(product.x.num_rows) * product.weight.num_outputs;
  const float* partial = product.partials + static_cast<int64_t>(row) * product.weight.num_outputs + output;
  float sum = 0;
  for (int split = 0; split < product.num_splits; ++split) sum += partial[split * split_floats];
  product.out[row * product.out_stride + output] = finish_sum(product, product.weight.kind, sum, row, output);
}

int tile_rows(int num_rows) { return num_rows <= 16 ? 16 : num_rows <= 32 ? 32 : 64; }

int tile_outputs(int rows) { return rows == 16 ? TileShape<16>::kBlockStrips * kStripOutputs : TileShape<64>::kBlockStrips * kStripOutputs; }

template <CodeKind kKind>
void launch_kind(const DeviceProduct& product, cudaStream_t stream) {
  switch (tile_rows(product.x.num_rows)) {
    case 16: return launch_tile<kKind, 16>(product, stream);
    case 32: return launch_tile<kKind, 32>(product, stream);
    default: return launch_tile<kKind, 64>(product, stream);
  }
}

template <CodeKind kKind, int kRows>
void prepare_tile() {
  const int record_bytes = kKind == CodeKind::kHalves ? code_bytes(kKind) : code_bytes(kKind) + 256;
  const int bytes = TileShape<kRows>::kSlots * TileShape<kRows>::slot_bytes(record_bytes);
  if (bytes > 48 * 1024) allow_shared_bytes("the matrix product's shared memory", gemm_kernel<kKind, kRows>, bytes);
}

template <CodeKind kKind>
void prepare_kind() {
  prepare_tile<kKind, 16>();
  prepare_tile<kKind, 32>();
  prepare_tile<kKind, 64>();
}

}  // namespace terrace::gemm

namespace terrace {

void prepare_gemm() {
  gemm::prepare_kind<CodeKind::kNibbles>();
  gemm::prepare_kind<CodeKind::kBytes>();
  gemm::prepare_kind<CodeKind::kSixteenths>();
  gemm::prepare_kind<CodeKind::kHalves>();
}

int useful_splits(const DeviceWeight& weight, int num_rows, int num_multiprocessors) {
  const int rows = gemm::tile_rows(num_rows), outputs = gemm::tile_outputs(rows);
  const int tiles = (num_rows + rows - 1) / rows * ((weight.num_outputs + outputs - 1) / outputs);
  const int wanted = gemm::kBlocksPerMultiprocessor * num_multiprocessors / tiles, most = weight.num_stages / gemm::kLeastStages;
  const int splits = wanted < most ? wanted : most;
  return splits < 1 ? 1 : splits < gemm::kMostSplits ? splits : gemm::kMostSplits;
}

void launch_gemm(const DeviceProduct& product, cudaStream_t stream) {
  switch (product.weight.kind) {
    case CodeKind::kNibbles: gemm::launch_kind<CodeKind::kNibbles>(product, stream); break;
    case CodeKind::kBytes: gemm::launch_kind<CodeKind::kBytes>(product, stream); break;
    case CodeKind::kSixteenths: gemm::launch_kind<CodeKind::kSixteenths>(product, stream); break;
    case CodeKind::kHalves: gemm::launch_kind<CodeKind::kHalves>(product, stream); break;
  }
  if (product.num_splits == 1) return;
  const dim3 grid((product.weight.num_outputs + gemm::kThreads - 1) / gemm::kThreads, product.x.num_rows);
  launch("the sum of a product's pieces", {grid, dim3(gemm::kThreads), 0, stream}, gemm::add_splits_kernel, product);
}

}  // namespace terrace
