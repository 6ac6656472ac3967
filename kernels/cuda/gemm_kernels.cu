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

template <int kRows>
struct TileShape {
  static constexpr int kStrips = kRows >= 64 ? 2 : 1;  // of a warp
  static constexpr int kSlots = kRows >= 64 ? 3 : 5;
  static constexpr int kMinBlocks = kRows >= 64 ? 2 : 6;  // of a multiprocessor, for their registers
  static constexpr int kBlockStrips = kWarps * kStrips;
  static constexpr int kSumsAt = kRows * kStageColumns * 2;
  static constexpr int kStripsAt = kSumsAt + kRows * kStageGroups * 4;
  static __host__ __device__ constexpr int slot_bytes(int record_bytes) { return kStripsAt + kBlockStrips * record_bytes; }
};

/// Where a block works.
struct TilePlace {
  int first_row;
  int first_strip;  // of this warp
  int lane;
};

template <int kRows>
__device__ __forceinline__ void load_rows(const DeviceRows& x, bool with_sums, int first_row, int stage, unsigned char* slot) {
  const int64_t row_halves = static_cast<int64_t>(x.num_stages) * kStageColumns;
#pragma unroll
  for (int i = 0; i < kRows * 8 / kThreads; ++i) {
    const int chunk = static_cast<int>(threadIdx.x) + i * kThreads;
    const int row = chunk / 4 % kRows, group = chunk / (4 * kRows);
    const bool valid = first_row + row < x.padded_rows;
    const uint16_t* source = x.values + (valid ? (first_row + row) * row_halves : 0) + stage * kStageColumns + group * kGroupColumns + chunk % 4 * 8;
    ptx::cp_async_16(slot + chunk * 16, source, valid);
  }
  const int chunk = static_cast<int>(threadIdx.x);
  if (with_sums && chunk < kRows * kStageGroups / 4) {
    const int row = first_row + chunk % (kRows / 4) * 4, group = chunk / (kRows / 4);
    const bool valid = row < x.padded_rows;
    const float* source = x.sums + static_cast<int64_t>(stage * kStageGroups + group) * x.padded_rows + (valid ? row : 0);
    ptx::cp_async_16(slot + TileShape<kRows>::kSumsAt + chunk * 16, source, valid);
  }
}

/// One strip of one stage by one warp.
template <CodeKind kKind>
__device__ __forceinline__ void load_strip(const DeviceWeight& weight, int strip, int stage, int lane, unsigned char* to) {
  if constexpr (kKind == CodeKind::kHalves) {
    const int64_t row_bytes = static_cast<int64_t>(weight.num_stages) * kStageColumns * 2;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int chunk = lane + 32 * i;
      const int output = strip * kStripOutputs + chunk / 4 % kStripOutputs, group = chunk / 64;
      const bool valid = output < weight.num_outputs;
      const uint8_t* source = weight.data + (valid ? output : 0) * row_bytes + stage * kStageColumns * 2 + group * 64 + chunk % 4 * 16;
      ptx::cp_async_16(to + chunk * 16, source, valid);
    }
  } else {
    const bool valid = strip * kStripOutputs < weight.num_outputs;
    const uint8_t* source = weight.data + (static_cast<int64_t>(valid ? strip : 0) * weight.num_stages + stage) * weight.record_bytes;
    for (int at = lane * 16; at < weight.record_bytes; at += 32 * 16) ptx::cp_async_16(to + at, source + at, valid);
  }
}

template <CodeKind kKind, int kRows>
__device__ __forceinline__ void load_stage(const DeviceProduct& product, const TilePlace& place, int stage, unsigned char* slot) {
  using Shape = TileShape<kRows>;
  load_rows<kRows>(product.x, product.weight.has_min, place.first_row, stage, slot);
  const int warp = static_cast<int>(threadIdx.x) / 32;
#pragma unroll
  for (int f = 0; f < Shape::kStrips; ++f) {
    unsigned char* to = slot + Shape::kStripsAt + (warp * Shape::kStrips + f) * product.weight.record_bytes;
    load_strip<kKind>(product.weight, place.first_strip + f, stage, place.lane, to);
  }
}

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
    product.out[row * product.out_stride + output] = finish_sum<kKind>(product, acc[i], row, output);
  }
}

template <CodeKind kKind, int kRows>
__global__ void __launch_bounds__(kThreads, TileShape<kRows>::kMinBlocks) gemm_kernel(DeviceProduct product) {
  using Shape = TileShape<kRows>;
  TERRACE_DYNAMIC_SHARED(shared);
  const int num_stages = product.weight.num_stages;
  const int slot_bytes = Shape::slot_bytes(product.weight.record_bytes);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const TilePlace place = {static_cast<int>(blockIdx.y) * kRows, static_cast<int>(blockIdx.x) * Shape::kBlockStrips + warp * Shape::kStrips,
                           static_cast<int>(threadIdx.x) % 32};
#pragma unroll
  for (int stage = 0; stage < Shape::kSlots - 1; ++stage) {
    if (stage < num_stages) load_stage<kKind, kRows>(product, place, stage, shared + stage * slot_bytes);
    ptx::cp_async_commit();
  }
  float acc[Shape::kStrips][kRows / 8][4] = {};
  int slot = 0, next_slot = Shape::kSlots - 1;
  for (int stage = 0; stage < num_stages; ++stage) {
    ptx::cp_async_wait<Shape::kSlots - 2>();
    __syncthreads();  // this stage is there, and all have read the one whose slot is filled next
    const int next = stage + Shape::kSlots - 1;
    if (next < num_stages) load_stage<kKind, kRows>(product, place, next, shared + next_slot * slot_bytes);
    ptx::cp_async_commit();
    multiply_stage<kKind, kRows>(product.weight, shared + slot * slot_bytes, place.lane, acc);
    slot = slot + 1 == Shape::kSlots ? 0 : slot + 1;
    next_slot = next_slot + 1 == Shape::kSlots ? 0 : next_slot + 1;
  }
#pragma unroll
  for (int f = 0; f < Shape::kStrips; ++f) {
#pragma unroll
    for (int j = 0; j < kRows / 8; ++j) store_sums<kKind>(product, place.first_row + j * 8, place.first_strip + f, place.lane, acc[f][j]);
  }
}

template <CodeKind kKind, int kRows>
void launch_tile(const DeviceProduct& product, cudaStream_t stream) {
  using Shape = TileShape<kRows>;
  const int block_outputs = Shape::kBlockStrips * kStripOutputs;
  const dim3 grid((product.weight.num_outputs + block_outputs - 1) / block_outputs, (product.x.num_rows + kRows - 1) / kRows);
  launch("the matrix product", {grid, dim3(kThreads), static_cast<size_t>(Shape::kSlots * Shape::slot_bytes(product.weight.record_bytes)), stream},
         gemm_kernel<kKind, kRows>, product);
}

template <CodeKind kKind>
void launch_kind(const DeviceProduct& product, cudaStream_t stream) {
  if (product.x.num_rows <= 16) {
    launch_tile<kKind, 16>(product, stream);
  } else {
    launch_tile<kKind, 64>(product, stream);
  }
}

template <CodeKind kKind, int kRows>
void prepare_tile() {
  const int record_bytes = kKind == CodeKind::kHalves ? code_bytes(kKind) : code_bytes(kKind) + 256;
  const int bytes = TileShape<kRows>::kSlots * TileShape<kRows>::slot_bytes(record_bytes);
  if (bytes > 48 * 1024) allow_shared_bytes("the matrix product's shared memory", gemm_kernel<kKind, kRows>, bytes);
}

}  // namespace terrace::gemm

namespace terrace {

void prepare_gemm() {
  gemm::prepare_tile<CodeKind::kNibbles, 16>();
  gemm::prepare_tile<CodeKind::kNibbles, 64>();
  gemm::prepare_tile<CodeKind::kBytes, 16>();
  gemm::prepare_tile<CodeKind::kBytes, 64>();
  gemm::prepare_tile<CodeKind::kSixteenths, 16>();
  gemm::prepare_tile<CodeKind::kSixteenths, 64>();
  gemm::prepare_tile<CodeKind::kHalves, 16>();
  gemm::prepare_tile<CodeKind::kHalves, 64>();
}

void launch_gemm(const DeviceProduct& product, cudaStream_t stream) {
  switch (product.weight.kind) {
    case CodeKind::kNibbles: return gemm::launch_kind<CodeKind::kNibbles>(product, stream);
    case CodeKind::kBytes: return gemm::launch_kind<CodeKind::kBytes>(product, stream);
    case CodeKind::kSixteenths: return gemm::launch_kind<CodeKind::kSixteenths>(product, stream);
    case CodeKind::kHalves: return gemm::launch_kind<CodeKind::kHalves>(product, stream);
  }
}

}  // namespace terrace
