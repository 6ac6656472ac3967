#include "kernels/cuda/activation_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::activation {

constexpr int kMostThreads = 256;  // of a block; fewer for short rows

/// Threads for a row of so many pieces of work.
unsigned block_threads(int pieces) {
  return static_cast<unsigned>(pieces >= kMostThreads ? kMostThreads : (pieces + 31) / 32 * 32);
}

/// The largest finite magnitude of the row; the same for all threads. Called once by a block.
__device__ __forceinline__ float largest_of_row(const float* x, int cols) {
  __shared__ unsigned of_warp[kMostThreads / 32];
  unsigned largest = 0;  // a magnitude's bits, which are in the order of the magnitudes
  for (int i = static_cast<int>(threadIdx.x); i < cols; i += static_cast<int>(blockDim.x)) {
    const unsigned bits = __float_as_uint(fabsf(x[i]));
    if (bits < 0x7f800000u && bits > largest) largest = bits;
  }
  largest = __reduce_max_sync(0xffffffffu, largest);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = largest;
  __syncthreads();
  for (unsigned i = 0; i < blockDim.x / 32; ++i) largest = of_warp[i] > largest ? of_warp[i] : largest;
  return __uint_as_float(largest);
}

/// The exponent e of a power of two by which a row is divided: its largest value then lies in [2^14, 2^15), so that a value keeps its 11 bits
/// down to 2^-28 of the largest.
__device__ __forceinline__ int scale_exponent(float largest) {
  const int exponent = static_cast<int>(__float_as_uint(largest) >> 23) - 127;
  const int bounded = exponent < -112 ? -112 : exponent;  // both powers stay normal floats
  return bounded - 14;
}

__device__ __forceinline__ float power_of_two(int exponent) { return __uint_as_float(static_cast<uint32_t>(exponent + 127) << 23); }

/// Eight values of a row, as one lane of a product reads them: columns first_col + {0, 1}, {2, 3}, {16, 17}, {18, 19}. Zeros from `cols` on.
__device__ __forceinline__ void read_values(const float* x, int first_col, int cols, bool aligned, float2 (&values)[4]) {
  if (aligned) {
    const float4 low = *reinterpret_cast<const float4*>(x + first_col), high = *reinterpret_cast<const float4*>(x + first_col + 16);
    values[0] = make_float2(low.x, low.y);
    values[1] = make_float2(low.z, low.w);
    values[2] = make_float2(high.x, high.y);
    values[3] = make_float2(high.z, high.w);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const int col = first_col + i % 2 * 2 + i / 2 * 16;
    values[i] = make_float2(col < cols ? x[col] : 0.0f, col + 1 < cols ? x[col + 1] : 0.0f);
  }
}

/// A padding row.
__device__ __forceinline__ void write_zeros(const ConvertRows& args, int row, int num_chunks) {
  for (int chunk = static_cast<int>(threadIdx.x); chunk < num_chunks; chunk += static_cast<int>(blockDim.x)) {
    reinterpret_cast<uint4*>(args.values)[static_cast<int64_t>(row) * num_chunks + chunk] = make_uint4(0, 0, 0, 0);
    if (chunk % 4 == 0) args.sums[static_cast<int64_t>(chunk / 4) * args.padded_rows + row] = 0;
  }
  if (threadIdx.x == 0) args.scale[row] = 0;
}

/// A block a row, a thread a chunk of eight values.
__global__ void __launch_bounds__(kMostThreads) convert_rows_kernel(ConvertRows args) {
  const int row = static_cast<int>(blockIdx.x), num_chunks = args.num_stages * (kStageColumns / 8);
  if (row >= args.num_rows) return write_zeros(args, row, num_chunks);
  const float* x = args.x + row * args.stride;
  const int exponent = scale_exponent(args.largest == nullptr ? largest_of_row(x, args.cols) : largest_of_row(args.largest, args.num_rows));
  const float multiplier = power_of_two(-exponent);
  // A warp takes all of its chunks or none: their number is a multiple of 8, and a group of four lanes sums up together.
  for (int chunk = static_cast<int>(threadIdx.x); chunk / 32 * 32 < num_chunks; chunk += static_cast<int>(blockDim.x)) {
    const int first_col = chunk / 4 * kGroupColumns + chunk % 4 * 4;
    float2 values[4];
    read_values(x, first_col, args.cols, args.aligned && first_col < args.cols, values);
    uint32_t pairs[4];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const __half2 pair = __floats2half2_rn(values[i].x * multiplier, values[i].y * multiplier);
      const float2 rounded = __half22float2(pair);
      sum = sum + rounded.x + rounded.y;
      pairs[i] = half2_bits(pair);
    }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    sum += __shfl_xor_sync(0xffffffffu, sum, 2);
    if (chunk >= num_chunks) continue;
    reinterpret_cast<uint4*>(args.values)[static_cast<int64_t>(row) * num_chunks + chunk] = make_uint4(pairs[0], pairs[1], pairs[2], pairs[3]);
    if (chunk % 4 == 0) args.sums[static_cast<int64_t>(chunk / 4) * args.padded_rows + row] = sum;
  }
  if (threadIdx.x == 0) args.scale[row] = power_of_two(exponent);
}

__global__ void __launch_bounds__(kMostThreads) largest_of_rows_kernel(ConvertRows args, float* largest) {
  const float of_row = largest_of_row(args.x + blockIdx.x * args.stride, args.cols);
  if (threadIdx.x == 0) largest[blockIdx.x] = of_row;
}

}  // namespace terrace::activation

namespace terrace {

void launch_convert_rows(const ConvertRows& args, cudaStream_t stream) {
  const unsigned threads = activation::block_threads(args.num_stages * (kStageColumns / 8));
  const LaunchShape shape = {dim3(static_cast<unsigned>(args.padded_rows)), dim3(threads), 0, stream};
  launch("the conversion of activations", shape, activation::convert_rows_kernel, args);
}

void launch_largest_of_rows(const ConvertRows& args, float* largest, cudaStream_t stream) {
  const LaunchShape shape = {dim3(static_cast<unsigned>(args.num_rows)), dim3(activation::block_threads((args.cols + 3) / 4)), 0, stream};
  launch("the range of activations", shape, activation::largest_of_rows_kernel, args, largest);
}

}  // namespace terrace
