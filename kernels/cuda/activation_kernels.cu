#include "kernels/cuda/activation_kernels.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/weight_fragments.cuh"

namespace terrace::activation {

constexpr int kThreads = 256;

/// The largest finite magnitude of the row; the same for all threads.
__device__ __forceinline__ float largest_of_row(const float* x, int cols) {
  __shared__ float of_warp[kThreads / 32];
  float largest = 0;
  for (int i = static_cast<int>(threadIdx.x); i < cols; i += kThreads) {
    const float magnitude = fabsf(x[i]);
    if (magnitude < INFINITY) largest = fmaxf(largest, magnitude);
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, step));
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = largest;
  __syncthreads();
#pragma unroll
  for (int i = 0; i < kThreads / 32; ++i) largest = fmaxf(largest, of_warp[i]);
  return largest;
}

/// The exponent e of a power of two by which a row is divided: its largest value then lies in [2^14, 2^15), so that a value keeps its 11 bits
/// down to 2^-28 of the largest.
__device__ __forceinline__ int scale_exponent(float largest) {
  const int exponent = static_cast<int>(__float_as_uint(largest) >> 23) - 127;
  const int bounded = exponent < -112 ? -112 : exponent;  // both powers stay normal floats
  return bounded - 14;
}

__device__ __forceinline__ float power_of_two(int exponent) { return __uint_as_float(static_cast<uint32_t>(exponent + 127) << 23); }

/// A block a row. A thread takes the eight values that one lane of a product reads at once.
__global__ void __launch_bounds__(kThreads) convert_rows_kernel(ConvertRows args) {
  const int row = static_cast<int>(blockIdx.x);
  const bool inside = row < args.num_rows;
  const float* x = args.x + (inside ? row * args.stride : 0);
  const int cols = inside ? args.cols : 0;
  const int exponent = scale_exponent(args.largest == nullptr ? largest_of_row(x, cols) : largest_of_row(args.largest, args.num_rows));
  const float multiplier = power_of_two(-exponent);
  const int num_chunks = args.num_stages * (kStageColumns / 8);
  for (int first = 0; first < num_chunks; first += kThreads) {
    const int chunk = first + static_cast<int>(threadIdx.x);
    const int first_col = chunk / 4 * kGroupColumns + chunk % 4 * 4;
    uint32_t pairs[4];
    float sum = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // columns first_col + {0, 1}, {2, 3}, {16, 17}, {18, 19}
      const int col = first_col + i % 2 * 2 + i / 2 * 16;
      const float low = col < cols ? x[col] * multiplier : 0.0f;
      const float high = col + 1 < cols ? x[col + 1] * multiplier : 0.0f;
      const __half2 pair = __floats2half2_rn(low, high);
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

__global__ void __launch_bounds__(kThreads) largest_of_rows_kernel(ConvertRows args, float* largest) {
  const float of_row = largest_of_row(args.x + blockIdx.x * args.stride, args.cols);
  if (threadIdx.x == 0) largest[blockIdx.x] = of_row;
}

}  // namespace terrace::activation

namespace terrace {

void launch_convert_rows(const ConvertRows& args, cudaStream_t stream) {
  launch("the conversion of activations", {dim3(static_cast<unsigned>(args.padded_rows)), dim3(activation::kThreads), 0, stream}, activation::convert_rows_kernel, args);
}

void launch_largest_of_rows(const ConvertRows& args, float* largest, cudaStream_t stream) {
  launch("the range of activations", {dim3(static_cast<unsigned>(args.num_rows)), dim3(activation::kThreads), 0, stream}, activation::largest_of_rows_kernel,
         args, largest);
}

}  // namespace terrace
