#include "kernels/cuda/rope_kernels.h"

#ifndef TERRACE_CUDASIM
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

#include <algorithm>

#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kRopeThreads = 256;
constexpr int kRopeWarps = kRopeThreads / 32;
constexpr uint32_t kNoFrame = 0xffffffffu;  // StepArrays::kNoFrame

struct RopeParams {
  MatrixView q, k, v;
  RopeStep step;
  std::byte* pool;
  int64_t page_stride, layer_offset, head_stride, v_offset, row_bytes;
  int32_t page_tokens, head_dim, rotary_dim, num_q_heads, num_kv_heads;
  float attention_factor;
  RopeStyle style;
  float inverse_frequency[kMaxRotaryDim / 2];
};

/// Cosine and sine of an angle in radians, |angle| < 2^30, good to the last bit of a float but for a few cases, as the CPU's are:
/// reduced to a quarter turn in double by pi/2 in two parts, then Taylor's series (error below 3e-14 for |r| <= pi/4).
__device__ __forceinline__ float2 cos_sin(float angle) {
  const double x = angle;
  const double turns = rint(x * 0.63661977236758134308);
  double r = fma(turns, -1.57079632679489655800, x);
  r = fma(turns, -6.12323399573676603587e-17, r);
  const double r2 = r * r;
  double c = fma(r2, -1.0 / 87178291200.0, 1.0 / 479001600.0);
  c = fma(c, r2, -1.0 / 3628800.0);
  c = fma(c, r2, 1.0 / 40320.0);
  c = fma(c, r2, -1.0 / 720.0);
  c = fma(c, r2, 1.0 / 24.0);
  c = fma(c, r2, -0.5);
  c = fma(c, r2, 1.0);
  double s = fma(r2, 1.0 / 6227020800.0, -1.0 / 39916800.0);
  s = fma(s, r2, 1.0 / 362880.0);
  s = fma(s, r2, -1.0 / 5040.0);
  s = fma(s, r2, 1.0 / 120.0);
  s = fma(s, r2, -1.0 / 6.0);
  s = fma(s * r2, r, r);
  const int quarter = static_cast<int>(turns) & 3;
  const float cosine = static_cast<float>(quarter % 2 == 0 ? c : s);
  const float sine = static_cast<float>(quarter % 2 == 0 ? s : c);
  return make_float2(quarter == 1 || quarter == 2 ? -cosine : cosine, quarter >= 2 ? -sine : sine);
}

__device__ __forceinline__ void store_element(float* to, float value) { *to = value; }
__device__ __forceinline__ void store_element(__half* to, float value) { *to = __float2half_rn(value); }
__device__ __forceinline__ void store_element(__nv_bfloat16* to, float value) { *to = __float2bfloat16_rn(value); }

/// One head by one warp: dims [0, rotary_dim) rotated, the rest as they are. `to` may be `from`.
template <typename Element>
__device__ __forceinline__ void rotate_head(const RopeParams& params, const float* from, const float2* turns, int rotary_dim, Element* to) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  const int half = rotary_dim / 2;
  const bool pairs = params.style == RopeStyle::kAdjacentPairs;
  for (int i = lane; i < half; i += 32) {
    const int first = pairs ? 2 * i : i;
    const int second = pairs ? 2 * i + 1 : i + half;
    const float a = from[first];
    const float b = from[second];
    store_element(to + first, fmaf(a, turns[i].x, -(b * turns[i].y)));
    store_element(to + second, fmaf(b, turns[i].x, a * turns[i].y));
  }
  for (int d = rotary_dim + lane; d < params.head_dim; d += 32) store_element(to + d, from[d]);
}

/// Grid: tokens x groups of kRopeWarps heads; a warp takes one head of q, k or v, in this order.
template <typename Element>
__global__ void __launch_bounds__(kRopeThreads, 4) rope_kernel(RopeParams params) {
  __shared__ float2 turns[kMaxRotaryDim / 2];
  const int64_t token = blockIdx.x;
  const int position = (*params.step.positions)[token];
  for (int i = static_cast<int>(threadIdx.x); i < params.rotary_dim / 2; i += kRopeThreads) {
    // The angle is rounded to float as transformers does it.
    const float2 turn = cos_sin(static_cast<float>(position) * params.inverse_frequency[i]);
    turns[i] = make_float2(turn.x * params.attention_factor, turn.y * params.attention_factor);
  }
  __syncthreads();

  int head = static_cast<int>(blockIdx.y * kRopeWarps + threadIdx.x / 32);
  if (head < params.num_q_heads) {
    float* q = params.q.data + token * params.q.stride + head * params.head_dim;
    rotate_head(params, q, turns, params.rotary_dim, q);
    return;
  }
  head -= params.num_q_heads;
  const bool is_v = head >= params.num_kv_heads;
  if (is_v) head -= params.num_kv_heads;
  const uint32_t frame = (*params.step.frame_of_token)[token];
  if (head >= params.num_kv_heads || frame == kNoFrame) return;
  const MatrixView& source = is_v ? params.v : params.k;
  std::byte* to = params.pool + frame * params.page_stride + params.layer_offset + head * params.head_stride + position % params.page_tokens * params.row_bytes;
  if (is_v) to += params.v_offset;
  rotate_head(params, source.data + token * source.stride + head * params.head_dim, turns, is_v ? 0 : params.rotary_dim, reinterpret_cast<Element*>(to));
}

static RopeParams make_params(const RopeKvArgs& args, const RopeStep& step) {
  const PageLayout& layout = args.kv->layout;
  RopeParams params = {};
  params.q = args.q;
  params.k = args.k;
  params.v = args.v;
  params.step = step;
  params.pool = args.kv->base;
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.layer_offset = static_cast<int64_t>(layout.row_offset(layout.k, args.layer, 0, 0));
  params.head_stride = static_cast<int64_t>(layout.k.head_stride);
  params.v_offset = static_cast<int64_t>(layout.v.offset);
  params.row_bytes = static_cast<int64_t>(layout.k.row_bytes);
  params.page_tokens = layout.page_tokens;
  params.head_dim = args.head_dim;
  params.rotary_dim = args.rotary_dim;
  params.num_q_heads = static_cast<int32_t>(args.q.cols / args.head_dim);
  params.num_kv_heads = layout.num_kv_heads;
  params.attention_factor = args.attention_factor;
  params.style = args.style;
  std::copy(args.inverse_frequency.begin(), args.inverse_frequency.end(), params.inverse_frequency);
  return params;
}

void launch_rope(const RopeKvArgs& args, const RopeStep& step, cudaStream_t stream) {
  if (args.q.rows == 0) return;
  const RopeParams params = make_params(args, step);
  const int heads = params.num_q_heads + 2 * params.num_kv_heads;
  const LaunchShape shape = {dim3(static_cast<unsigned>(args.q.rows), static_cast<unsigned>((heads + kRopeWarps - 1) / kRopeWarps)), dim3(kRopeThreads), 0, stream};
  switch (args.kv->layout.k.type) {
    case KvType::kF16: return launch("rope", shape, rope_kernel<__half>, params);
    case KvType::kBF16: return launch("rope", shape, rope_kernel<__nv_bfloat16>, params);
    default: return launch("rope", shape, rope_kernel<float>, params);
  }
}

}  // namespace terrace
