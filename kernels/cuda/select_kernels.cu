#include "kernels/cuda/select_kernels.h"

#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/order_key.cuh"
#include "kernels/cuda/vector_access.cuh"

namespace terrace {

constexpr int kScanThreads = 256;
constexpr int kScanTile = kScanThreads * 4;  // columns that a block reads at a time
constexpr int kJoinThreads = 512;

/// Larger logit first, then the smaller index: no two keys are equal. 0 is no key.
__device__ __forceinline__ uint64_t sort_key(uint32_t key, uint32_t index) { return static_cast<uint64_t>(key) << 32 | (0xffffffffu - index); }
__device__ __forceinline__ uint32_t index_of(uint64_t sort_key) { return 0xffffffffu - static_cast<uint32_t>(sort_key); }

__device__ __forceinline__ float largest_of(float4 v) { return fmaxf(fmaxf(v.x, v.y), fmaxf(v.z, v.w)); }
__device__ __forceinline__ float sum_exp_of(float4 v, float max) { return (expf(v.x - max) + expf(v.y - max)) + (expf(v.z - max) + expf(v.w - max)); }

__device__ __forceinline__ uint32_t larger(uint32_t a, uint32_t b) { return a > b ? a : b; }

/// The key of the largest of four columns of which the row has `left`.
__device__ __forceinline__ uint32_t largest_key(float4 v, int left) {
  uint32_t key = left > 0 ? order_key(v.x) : 0;
  if (left > 1) key = larger(key, order_key(v.y));
  if (left > 2) key = larger(key, order_key(v.z));
  if (left > 3) key = larger(key, order_key(v.w));
  return key;
}

/// Grid: chunks x rows.
__global__ void __launch_bounds__(kScanThreads) scan_logits_kernel(SelectArgs args, bool aligned) {
  constexpr int kTiles = kDeviceSelectChunk / kScanTile;
  constexpr float kMinusInfinity = -__builtin_inff();
  __shared__ float largest[kScanThreads / 32];
  __shared__ float sums[kScanThreads / 32];
  const int cols = static_cast<int>(args.logits.cols);
  const int64_t row = blockIdx.y;
  const float* logits = args.logits.data + row * args.logits.stride;
  const int num_groups = (cols + args.group_cols - 1) / args.group_cols;

  float4 values[kTiles];
  float max = kMinusInfinity;
  for (int tile = 0; tile < kTiles; ++tile) {
    const int first = static_cast<int>(blockIdx.x * kDeviceSelectChunk + tile * kScanTile + threadIdx.x * 4);
    values[tile] = load4(logits, first, cols, aligned, kMinusInfinity);
    max = fmaxf(max, largest_of(values[tile]));
    uint32_t key = largest_key(values[tile], cols - first);
    for (int distance = 1; distance < args.group_cols / 4; distance *= 2) {
      key = larger(key, __shfl_xor_sync(0xffffffffu, key, distance));
    }
    if (first < cols && first % args.group_cols == 0) args.group_keys[row * num_groups + first / args.group_cols] = key;
  }
  max = block_reduce(max, largest, Largest{});
  float sum = 0;
  if (max != kMinusInfinity) {
    for (int tile = 0; tile < kTiles; ++tile) sum += sum_exp_of(values[tile], max);
  }
  sum = block_reduce(sum, sums, Sum{});
  if (threadIdx.x == 0) args.chunks[row * gridDim.x + blockIdx.x] = {max, sum};
}

/// Of a row, from its chunks: thread t takes chunks t, t + kJoinThreads, ...
__device__ __forceinline__ LogitStats join_chunks(const LogitStats* chunks, int num_chunks) {
  constexpr float kMinusInfinity = -__builtin_inff();
  __shared__ float largest[kJoinThreads / 32];
  __shared__ float sums[kJoinThreads / 32];
  float max = kMinusInfinity;
  for (int i = static_cast<int>(threadIdx.x); i < num_chunks; i += kJoinThreads) max = fmaxf(max, chunks[i].max);
  max = block_reduce(max, largest, Largest{});
  float sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < num_chunks; i += kJoinThreads) {
    if (chunks[i].max != kMinusInfinity) sum = fmaf(chunks[i].sum_exp, expf(chunks[i].max - max), sum);
  }
  return {max, block_reduce(sum, sums, Sum{})};
}

/// Sorts keys[0, size), largest first; size is a power of two. Bitonic: log2(size) (log2(size) + 1) / 2 passes, each closed by a barrier.
__device__ __forceinline__ void sort_keys(uint64_t* keys, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int distance = run / 2; distance > 0; distance /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < size / 2; i += kJoinThreads) {
        const int low = i / distance * 2 * distance + i % distance;
        const uint64_t a = keys[low];
        const uint64_t b = keys[low + distance];
        const bool descending = (low & run) == 0;
        if ((a < b) == descending) {
          keys[low] = b;
          keys[low + distance] = a;
        }
      }
      __syncthreads();
    }
  }
}

__device__ __forceinline__ int power_of_two(int at_least) {
  int size = 2;
  while (size < at_least) size *= 2;
  return size;
}

/// One block per row. The `count` largest columns lie in the `count` groups whose largest come first in the same order (a column of
/// another group has `count` columns before it), so: sort the groups, then the columns of the first.
__global__ void __launch_bounds__(kJoinThreads) join_logits_kernel(SelectArgs args, int num_chunks) {
  __shared__ uint64_t keys[kMaxSortedKeys];
  __shared__ int32_t groups[kMaxTopGroups];
  const int cols = static_cast<int>(args.logits.cols);
  const int64_t row = blockIdx.x;
  const LogitStats stats = join_chunks(args.chunks + row * num_chunks, num_chunks);
  if (threadIdx.x == 0) args.stats[row] = stats;
  if (args.count == 0) return;

  const int num_groups = (cols + args.group_cols - 1) / args.group_cols;
  const int groups_size = power_of_two(num_groups);
  for (int i = static_cast<int>(threadIdx.x); i < groups_size; i += kJoinThreads) {
    keys[i] = i < num_groups ? sort_key(args.group_keys[row * num_groups + i], static_cast<uint32_t>(i)) : 0;
  }
  __syncthreads();
  sort_keys(keys, groups_size);
  const int num_tops = args.count < num_groups ? args.count : num_groups;
  for (int i = static_cast<int>(threadIdx.x); i < num_tops; i += kJoinThreads) groups[i] = static_cast<int32_t>(index_of(keys[i]));
  __syncthreads();

  const float* logits = args.logits.data + row * args.logits.stride;
  const int candidates = power_of_two(num_tops * args.group_cols);
  for (int i = static_cast<int>(threadIdx.x); i < candidates; i += kJoinThreads) {
    const int column = i / args.group_cols < num_tops ? groups[i / args.group_cols] * args.group_cols + i % args.group_cols : cols;
    keys[i] = column < cols ? sort_key(order_key(logits[column]), static_cast<uint32_t>(column)) : 0;
  }
  __syncthreads();
  sort_keys(keys, candidates);
  for (int i = static_cast<int>(threadIdx.x); i < args.count; i += kJoinThreads) {
    const bool found = i < candidates && keys[i] >> 32 != 0;
    const int column = found ? static_cast<int>(index_of(keys[i])) : -1;
    args.top[row * args.count + i] = {column, found ? logits[column] : 0.0f};
  }
}

static int64_t rounded_up(int64_t keys) {
  int64_t size = 2;
  while (size < keys) size *= 2;
  return size;
}

int32_t select_group_cols(int64_t cols, int64_t count) {
  if (count > kMaxTopGroups) return 0;
  int32_t best = 0;
  int64_t least = 2 * kMaxSortedKeys + 1;
  for (const int32_t group_cols : {32, 64, 128}) {
    const int64_t groups = rounded_up((cols + group_cols - 1) / group_cols);
    const int64_t candidates = rounded_up(count * group_cols);
    if (groups > kMaxSortedKeys || candidates > kMaxSortedKeys || groups + candidates >= least) continue;
    least = groups + candidates;
    best = group_cols;
  }
  return best;
}

void launch_select(const SelectArgs& args, cudaStream_t stream) {
  if (args.logits.rows == 0) return;
  const int64_t num_chunks = (args.logits.cols + kDeviceSelectChunk - 1) / kDeviceSelectChunk;
  const dim3 grid(static_cast<unsigned>(num_chunks), static_cast<unsigned>(args.logits.rows));
  launch("scan_logits", {grid, dim3(kScanThreads), 0, stream}, scan_logits_kernel, args, rows_are_aligned(args.logits));
  launch("join_logits", {dim3(static_cast<unsigned>(args.logits.rows)), dim3(kJoinThreads), 0, stream}, join_logits_kernel, args, static_cast<int>(num_chunks));
}

}  // namespace terrace
