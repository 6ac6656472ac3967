// Bounds: a block takes a query, a KV head and 64 pages, a warp of it 16, four at a time, for eight query heads at a time. A page's summary is
// 4 bytes a dim, where its keys and values are 4 a dim and token.
// Picks: a block takes a query and a KV head, finds the bound of the last page that is chosen by its bits, eight at a time, and then lists the pages
// in order. Every sum, maximum and count is in a fixed order or exact: a choice depends on its query and keys alone.
#include "kernels/cuda/page_choice_kernels.h"

#ifndef TERRACE_CUDASIM
#include <cuda_fp16.h>
#endif

#include "kernels/cuda/attention_kernels.h"
#include "kernels/cuda/block_reduce.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/order_key.cuh"

namespace terrace {

constexpr int kBoundWarps = 4;
constexpr int kHeadsAtOnce = 8;
constexpr int kPagesAtOnce = 4;
constexpr int kPickThreads = 256;  // as many as values of 8 bits
constexpr float kInfinity = __builtin_inff();
constexpr uint32_t kWarp = 0xffffffffu;

static_assert(kPartPages % (kBoundWarps * kPagesAtOnce) == 0);

/// Not below what a score of at most `bound` is once it is capped (kernels/cpu/page_choice.cpp). A key beyond f16 leaves infinity, or NaN where the query is 0.
__device__ __forceinline__ float finished_bound(float bound, float cap) {
  if (!(bound < kInfinity)) bound = kInfinity;
  if (!(cap > 0)) return bound;
  return bound > 0 ? fminf(bound, cap) : bound / (1 - bound / cap);
}

/// What a summary's numbers count for in the bounds of some heads: of the largest of a dim the positive part of the scaled query, of the smallest the negative one.
using Factors = float[kHeadsAtOnce][2 * kMostHeadDims];

/// Lane l gets the sum over the lanes of their values[l].
__device__ __forceinline__ float sum_over_lanes(float (&values)[32]) {
#pragma unroll
  for (int half = 16; half > 0; half /= 2) {
    const bool is_upper = (threadIdx.x & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const float kept = is_upper ? values[i + half] : values[i], sent = is_upper ? values[i] : values[i + half];
      values[i] = kept + __shfl_xor_sync(kWarp, sent, half);
    }
  }
  return values[0];
}

static_assert(kHeadsAtOnce * kPagesAtOnce == 32);

/// Lane l's is the bound of page l % kPagesAtOnce for head l / kPagesAtOnce. It reads each summary's 16 bytes l, l + 32, ...
__device__ __forceinline__ float bound_pages(const PageChoiceParams& params, const Factors& factors, const std::byte* const (&summary)[kPagesAtOnce]) {
  float bounds[kHeadsAtOnce * kPagesAtOnce];
#pragma unroll
  for (float& bound : bounds) bound = 0;
  for (int word = static_cast<int>(threadIdx.x % 32); word < params.summary_dims / 4; word += 32) {
    uint4 keys[kPagesAtOnce];
#pragma unroll
    for (int p = 0; p < kPagesAtOnce; ++p) keys[p] = reinterpret_cast<const uint4*>(summary[p])[word];
#pragma unroll
    for (int i = 0; i < 8; i += 4) {
      float4 key[kPagesAtOnce];
#pragma unroll
      for (int p = 0; p < kPagesAtOnce; ++p) {
        const auto number = [](uint32_t bits) { return __half2float(__ushort_as_half(static_cast<uint16_t>(bits))); };
        const uint32_t front = i == 0 ? keys[p].x : keys[p].z, back = i == 0 ? keys[p].y : keys[p].w;
        key[p] = make_float4(number(front), number(front >> 16), number(back), number(back >> 16));
      }
#pragma unroll
      for (int h = 0; h < kHeadsAtOnce; ++h) {
        const float4 factor = *reinterpret_cast<const float4*>(&factors[h][8 * word + i]);
#pragma unroll
        for (int p = 0; p < kPagesAtOnce; ++p) {
          float& bound = bounds[kPagesAtOnce * h + p];
          bound = fmaf(factor.w, key[p].w, fmaf(factor.z, key[p].z, fmaf(factor.y, key[p].y, fmaf(factor.x, key[p].x, bound))));
        }
      }
    }
  }
  return sum_over_lanes(bounds);
}

__global__ void __launch_bounds__(32 * kBoundWarps, 3) page_bounds_kernel(const PageChoiceParams params) {
  __shared__ __align__(16) Factors factors;
  const int begin = (*params.passes)[params.pass], end = (*params.passes)[params.pass + 1];
  const int most_parts = **params.most_parts;
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  const int64_t num_items = static_cast<int64_t>(end - begin) * params.num_kv_heads * most_parts;
  for (int64_t item = blockIdx.x; item < num_items; item += gridDim.x) {
    const int part = static_cast<int>(item % most_parts);
    const int kv_head = static_cast<int>(item / most_parts % params.num_kv_heads);
    const SparseQuery query = (*params.queries)[begin + item / most_parts / params.num_kv_heads];
    const int num_candidates = query.num_pages - params.sink_pages - params.recent_pages;
    if (part * kPartPages >= num_candidates) continue;  // whole block
    const uint32_t* frames = *params.frames + query.first_page + params.sink_pages;
    const int last_head = (*params.head_begin)[kv_head + 1];
    for (int first_head = (*params.head_begin)[kv_head]; first_head < last_head; first_head += kHeadsAtOnce) {
      __syncthreads();  // the factors before have been read
      for (int i = static_cast<int>(threadIdx.x); i < kHeadsAtOnce * params.summary_dims; i += 32 * kBoundWarps) {
        const int h = i / params.summary_dims, d = i % params.summary_dims;
        const bool is_there = first_head + h < last_head && d < params.head_dim;
        const float q = is_there ? params.q[query.token * params.q_stride + (first_head + h) * params.head_dim + d] * params.scale : 0.0f;
        factors[h][d] = fmaxf(q, 0.0f);
        factors[h][params.summary_dims + d] = fminf(q, 0.0f);
      }
      __syncthreads();
      for (int page = part * kPartPages + warp * kPagesAtOnce; page < (part + 1) * kPartPages && page < num_candidates; page += kBoundWarps * kPagesAtOnce) {
        const std::byte* summary[kPagesAtOnce];
#pragma unroll
        for (int p = 0; p < kPagesAtOnce; ++p) {
          const uint32_t frame = frames[page + p < num_candidates ? page + p : num_candidates - 1];
          summary[p] = (frame < params.num_frames ? params.summaries : params.host_summaries) + frame * params.page_stride + kv_head * params.summary_bytes;
        }
        const float bound = bound_pages(params, factors, summary);
        const int head = first_head + lane / kPagesAtOnce, own_page = page + lane % kPagesAtOnce;
        if (head < last_head && own_page < num_candidates) params.bounds[query.bounds + static_cast<int64_t>(head) * num_candidates + own_page] = finished_bound(bound, params.soft_cap);
      }
    }
  }
}

/// How many of a value's kind come in the threads before this one's, and in all.
struct Ranks {
  uint32_t before, all;
};

__device__ __forceinline__ Ranks block_ranks(uint32_t value, uint32_t (&totals)[kPickThreads / 32]) {
  const int lane = static_cast<int>(threadIdx.x % 32), warp = static_cast<int>(threadIdx.x / 32);
  uint32_t sum = value;
  for (int distance = 1; distance < 32; distance *= 2) {
    const uint32_t before = __shfl_up_sync(kWarp, sum, distance);
    sum += lane >= distance ? before : 0;
  }
  __syncthreads();  // the totals before have been read
  if (lane == 31) totals[warp] = sum;
  __syncthreads();
  Ranks ranks = {sum - value, 0};
  for (int w = 0; w < kPickThreads / 32; ++w) {
    ranks.before += w < warp ? totals[w] : 0;
    ranks.all += totals[w];
  }
  return ranks;
}

/// What decides about a candidate: the largest of its heads' bounds, each less the largest finite one of its head, as a key that orders. Kept in the place of
/// the first head's bounds; a thread reads what it has written itself.
__device__ __forceinline__ void find_keys(const PageChoiceParams& params, int kv_head, float* bounds, int num_candidates) {
  __shared__ float largest_of_warps[kPickThreads / 32];
  auto* keys = reinterpret_cast<uint32_t*>(bounds);
  const int num_heads = (*params.head_begin)[kv_head + 1] - (*params.head_begin)[kv_head];
  for (int head = 0; head < num_heads; ++head, bounds += num_candidates) {
    float largest = -3.402823466e38f;
    for (int i = static_cast<int>(threadIdx.x); i < num_candidates; i += kPickThreads) largest = bounds[i] < kInfinity ? fmaxf(largest, bounds[i]) : largest;
    __syncthreads();  // the maxima of the head before have been read
    largest = block_reduce(largest, largest_of_warps, Largest{});
    for (int i = static_cast<int>(threadIdx.x); i < num_candidates; i += kPickThreads) {
      const uint32_t key = order_key(bounds[i] - largest);
      keys[i] = head == 0 || key > keys[i] ? key : keys[i];
    }
  }
}

/// Candidates of larger keys are chosen, and so many of this one.
struct LeastKey {
  uint32_t key;
  uint32_t equal_ones;
};

__device__ __forceinline__ LeastKey find_least(const uint32_t* keys, int num_candidates, uint32_t count, uint32_t (&totals)[kPickThreads / 32]) {
  __shared__ uint32_t histogram[kPickThreads];
  __shared__ LeastKey found;
  const int thread = static_cast<int>(threadIdx.x);
  LeastKey least = {0, count};
  for (int shift = 24; shift >= 0; shift -= 8) {
    histogram[thread] = 0;
    __syncthreads();
    for (int i = thread; i < num_candidates; i += kPickThreads) {
      const bool begins_so = shift == 24 || keys[i] >> (shift + 8) == least.key >> (shift + 8);
      if (begins_so) atomicAdd(&histogram[keys[i] >> shift & 255u], 1u);
    }
    __syncthreads();
    const uint32_t digit = static_cast<uint32_t>(kPickThreads - 1 - thread);  // the largest first
    const uint32_t own = histogram[digit];
    const uint32_t before = block_ranks(own, totals).before;
    if (before < least.equal_ones && before + own >= least.equal_ones) found = {least.key | digit << shift, least.equal_ones - before};
    __syncthreads();
    least = found;
    __syncthreads();
  }
  return least;
}

__global__ void __launch_bounds__(kPickThreads) pick_pages_kernel(const PageChoiceParams params) {
  __shared__ uint32_t totals[kPickThreads / 32];
  const int begin = (*params.passes)[params.pass], end = (*params.passes)[params.pass + 1];
  const int thread = static_cast<int>(threadIdx.x), num_chosen = params.sink_pages + params.pages + params.recent_pages;
  for (int item = static_cast<int>(blockIdx.x) + begin * params.num_kv_heads; item < end * params.num_kv_heads; item += static_cast<int>(gridDim.x)) {
    const int kv_head = item % params.num_kv_heads;
    const SparseQuery query = (*params.queries)[item / params.num_kv_heads];
    const int num_candidates = query.num_pages - params.sink_pages - params.recent_pages;
    float* bounds = params.bounds + query.bounds + static_cast<int64_t>((*params.head_begin)[kv_head]) * num_candidates;
    const auto* keys = reinterpret_cast<const uint32_t*>(bounds);
    find_keys(params, kv_head, bounds, num_candidates);
    const LeastKey least = find_least(keys, num_candidates, static_cast<uint32_t>(params.pages), totals);
    const uint32_t* frames = *params.frames + query.first_page;
    uint32_t* chosen = params.chosen + static_cast<int64_t>(item) * num_chosen;
    for (int i = thread; i < params.sink_pages; i += kPickThreads) chosen[i] = frames[i];
    for (int i = thread; i < params.recent_pages; i += kPickThreads) chosen[num_chosen - params.recent_pages + i] = frames[query.num_pages - params.recent_pages + i];
    uint32_t larger_before = 0, equal_before = 0;
    for (int first = 0; first < num_candidates; first += kPickThreads) {
      const int i = first + thread;
      const bool is_larger = i < num_candidates && keys[i] > least.key, is_equal = i < num_candidates && keys[i] == least.key;
      const Ranks ranks = block_ranks((is_larger ? 1u : 0u) | (is_equal ? 1u << 16 : 0u), totals);
      const uint32_t larger = larger_before + (ranks.before & 0xffffu), equal = equal_before + (ranks.before >> 16);
      if (is_larger || (is_equal && equal < least.equal_ones)) {
        chosen[params.sink_pages + larger + (equal < least.equal_ones ? equal : least.equal_ones)] = frames[params.sink_pages + i];
      }
      larger_before += ranks.all & 0xffffu;
      equal_before += ranks.all >> 16;
    }
  }
}

void start_page_bounds(int num_blocks, const PageChoiceParams& params, cudaStream_t stream) {
  launch("bounding pages' scores", {dim3(static_cast<unsigned>(num_blocks)), dim3(32 * kBoundWarps), 0, stream}, page_bounds_kernel, params);
}

void start_page_picks(int num_blocks, const PageChoiceParams& params, cudaStream_t stream) {
  launch("choosing pages", {dim3(static_cast<unsigned>(num_blocks)), dim3(kPickThreads), 0, stream}, pick_pages_kernel, params);
}

}  // namespace terrace
