#include "kernels/cuda/rope_kernels.h"

#include <algorithm>

#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/hadamard_kernels.h"
#include "kernels/cuda/kv_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kRopeThreads = 256;
constexpr int kRopeWarps = kRopeThreads / 32;

struct RopeParams {
  MatrixView q, k, v, q_sinks;
  RopeStep step;
  std::byte* pool;
  int64_t page_stride;
  RowPlaces k_places, v_places;
  int32_t page_tokens, head_dim, rotary_dim, num_q_heads, num_kv_heads;
  HadamardTurn turn;
  AttentionWindow window;
  float attention_factor;
  RopeStyle style;
  bool exact_angles;
  float inverse_frequency[kMaxRotaryDim / 2];
};

/// Cosine and sine of x radians, |x| < 2^30, good to the last bit of a float but for a few cases, as the CPU's are:
/// reduced to a quarter turn in double by pi/2 in two parts, then Taylor's series (error below 3e-14 for |r| <= pi/4).
__device__ __forceinline__ float2 cos_sin(double x) {
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

/// The turns of all pairs of dims at a position; by the whole block.
__device__ __forceinline__ void find_turns(const RopeParams& params, int position, float2* turns) {
  for (int i = static_cast<int>(threadIdx.x); i < params.rotary_dim / 2; i += kRopeThreads) {
    const float frequency = params.inverse_frequency[i];
    // The angle is rounded to float as transformers does it.
    const double angle = params.exact_angles ? static_cast<double>(position) * static_cast<double>(frequency) : static_cast<double>(static_cast<float>(position) * frequency);
    const float2 turn = cos_sin(angle);
    turns[i] = make_float2(turn.x * params.attention_factor, turn.y * params.attention_factor);
  }
}

/// A row of K or V into its page: K rotated by its position, and turned where such rows are.
template <typename Element, bool kIsValue>
__device__ __forceinline__ void store_row(const RopeParams& params, const RowPlaces& places, const float* from, const float2* turns, float* buffer, std::byte* page, int head, int slot) {
  std::byte* to = page + places.row(head, slot);
  const int rotary_dim = kIsValue ? 0 : params.rotary_dim;
  if constexpr (kIsCode<Element>) {
    if constexpr (kIsTurned<Element, kIsValue>) {
      rotate_head(params, from, turns, rotary_dim, buffer);
      turn_head(params.turn, buffer);
      from = buffer;
    }
    store_codes(Element(), from, params.head_dim, to, page + places.scale(head, slot, params.page_tokens));
  } else {
    rotate_head(params, from, turns, rotary_dim, reinterpret_cast<Element*>(to));
  }
}

/// A head of q, to `to`, which may be `from`.
template <bool kTurned>
__device__ __forceinline__ void rotate_query(const RopeParams& params, const float* from, const float2* turns, float* buffer, float* to) {
  if constexpr (kTurned) {
    rotate_head(params, from, turns, params.rotary_dim, buffer);
    turn_head(params.turn, buffer);
    for (int d = static_cast<int>(threadIdx.x % 32); d < params.head_dim; d += 32) to[d] = buffer[d];
    __syncwarp();
  } else {
    rotate_head(params, from, turns, params.rotary_dim, to);
  }
}

/// Grid: tokens x groups of kRopeWarps heads; a warp takes one head of q, k or v, in this order.
template <typename K, typename V>
__global__ void __launch_bounds__(kRopeThreads, 4) rope_kernel(RopeParams params) {
  constexpr bool kTurned = kIsTurned<K, false>;
  __shared__ float2 turns[kMaxRotaryDim / 2], sink_turns[kMaxRotaryDim / 2];
  __shared__ float buffers[kTurned ? kRopeWarps : 1][kTurned ? kMostTurnedDims : 1];
  float* buffer = buffers[kTurned ? threadIdx.x / 32 : 0];
  const int64_t token = blockIdx.x;
  const int position = (*params.step.positions)[token];
  find_turns(params, position, turns);
  if (params.q_sinks.data != nullptr) find_turns(params, params.window.sink_position(position), sink_turns);
  __syncthreads();

  int head = static_cast<int>(blockIdx.y * kRopeWarps + threadIdx.x / 32);
  if (head < params.num_q_heads) {
    float* q = params.q.data + token * params.q.stride + head * params.head_dim;
    if (params.q_sinks.data != nullptr) {
      rotate_query<kTurned>(params, q, sink_turns, buffer, params.q_sinks.data + token * params.q_sinks.stride + head * params.head_dim);
    }
    rotate_query<kTurned>(params, q, turns, buffer, q);
    return;
  }
  head -= params.num_q_heads;
  const bool is_v = head >= params.num_kv_heads;
  if (is_v) head -= params.num_kv_heads;
  const uint32_t frame = (*params.step.frame_of_token)[token];
  if (head >= params.num_kv_heads || frame == kNoFrame) return;
  std::byte* page = params.pool + frame * params.page_stride;
  const int slot = position % params.page_tokens;
  const MatrixView& source = is_v ? params.v : params.k;
  const float* from = source.data + token * source.stride + head * params.head_dim;
  if (is_v) {
    store_row<V, true>(params, params.v_places, from, turns, buffer, page, head, slot);
  } else {
    store_row<K, false>(params, params.k_places, from, turns, buffer, page, head, slot);
  }
}

static RopeParams make_params(const RopeKvArgs& args, const RopeStep& step) {
  const PageLayout& layout = args.kv->layout;
  RopeParams params = {};
  params.q = args.q;
  params.k = args.k;
  params.v = args.v;
  params.q_sinks = args.q_sinks;
  params.step = step;
  params.pool = args.kv->base;
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.k_places = places_of(layout, layout.k, args.place.layer);
  params.v_places = places_of(layout, layout.v, args.place.layer);
  params.page_tokens = layout.page_tokens;
  params.head_dim = args.head_dim;
  params.rotary_dim = args.rotary_dim;
  params.num_q_heads = static_cast<int32_t>(args.q.cols / args.head_dim);
  params.num_kv_heads = layout.num_kv_heads;
  params.turn = hadamard_turn(args.head_dim);
  params.window = args.window;
  params.attention_factor = args.attention_factor;
  params.style = args.style;
  params.exact_angles = args.exact_angles;
  std::copy(args.inverse_frequency.begin(), args.inverse_frequency.end(), params.inverse_frequency);
  return params;
}

static void (*choose_kernel(KvFormat format))(RopeParams) {
  switch (format.k) {
    case KvType::kF16: return rope_kernel<__half, __half>;
    case KvType::kBF16: return rope_kernel<__nv_bfloat16, __nv_bfloat16>;
    case KvType::kF32: return rope_kernel<float, float>;
    case KvType::kF8: return rope_kernel<F8, F8>;
    case KvType::kQ4: return rope_kernel<Q4, Q4>;
    case KvType::kQ8: break;
  }
  return format.v == KvType::kQ8 ? rope_kernel<Q8, Q8> : format.v == KvType::kQ4 ? rope_kernel<Q8, Q4> : rope_kernel<Q8, __half>;
}

void launch_rope(const RopeKvArgs& args, const RopeStep& step, cudaStream_t stream) {
  if (args.q.rows == 0) return;
  const RopeParams params = make_params(args, step);
  const int heads = params.num_q_heads + 2 * params.num_kv_heads;
  const LaunchShape shape = {dim3(static_cast<unsigned>(args.q.rows), static_cast<unsigned>((heads + kRopeWarps - 1) / kRopeWarps)), dim3(kRopeThreads), 0, stream};
  launch("rope", shape, choose_kernel(args.kv->layout.format()), params);
}

}  // namespace terrace
