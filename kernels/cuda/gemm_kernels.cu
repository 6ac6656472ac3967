#include "kernels/cuda/gemm_kernels.h"

#include "kernels/cuda/gemm_loader.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::gemm {

// Splitting: enough blocks for all multiprocessors, pieces long enough to fill the ring, and few enough partial sums to add.
constexpr int kBlocksPerMultiprocessor = 2;
constexpr int kLeastStages = 4;
constexpr int kMostSplits = 16;

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
  const dim3 grid((product.weight.num_outputs + block_outputs - 1) / block_outputs, (product.x.num_rows + kRows - 1) / kRows,
                  product.num_splits);
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
