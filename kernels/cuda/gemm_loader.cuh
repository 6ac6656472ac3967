// The tile that a block of gemm_kernels.cu works on, and how its warps bring it to shared memory. For that file alone.
#pragma once

#include "kernels/cuda/device_weight.h"
#include "kernels/cuda/ptx.cuh"

namespace terrace::gemm {

// A block of 4 warps computes kRows rows by 4 * kStrips strips of outputs. Stages of 64 columns go through a ring of shared memory; a slot holds
//   x       [2 groups][kRows][32] f16: a lane's 16 bytes of a row and group lie so that eight neighbouring lanes read 128 bytes in a row
//   sums    [2 groups][kRows] float
//   strips  [4 * kStrips][record]
constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

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
    const float* group_sums = x.sums + static_cast<int64_t>(thread / (kRows / 4)) * x.padded_rows;
    sums_ = reinterpret_cast<const unsigned char*>(group_sums + (sums_valid_ ? sums_row : 0));
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

}  // namespace terrace::gemm
