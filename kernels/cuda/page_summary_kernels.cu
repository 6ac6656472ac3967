#include "kernels/cuda/page_summary_kernels.h"

#include "kernels/cuda/kv_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kSummaryThreads = 128;

struct PageSummaryParams {
  RopeStep step;
  std::byte* pool;
  int64_t page_stride;
  RowPlaces keys;
  KvType type;
  int64_t summaries, summary_bytes;  // of the layer's heads
  int32_t summary_dims, page_tokens, head_dim;
};

__device__ __forceinline__ float load_q4(const std::byte* row, const std::byte* scales, int d) {
  constexpr Q4Levels kLevels = make_q4_levels();
  const int in_run = d % kQ4Run;
  const int code = static_cast<int>(row[d / kQ4Run * (kQ4Run / 2) + in_run % 16]) >> (in_run / 16 * 4) & 15;
  float level = kLevels.level[0];
#pragma unroll
  for (int c = 1; c < 16; ++c) level = code == c ? kLevels.level[c] : level;
  return level * __half2float(reinterpret_cast<const __half*>(scales)[d / 16]);
}

/// Dim `d` of a key.
__device__ __forceinline__ float load_key(KvType type, const std::byte* row, const std::byte* scales, int d) {
  if (type == KvType::kQ4) return load_q4(row, scales, d);
  if (type == KvType::kF8) return f8_to_float(static_cast<uint8_t>(row[d]));
  return load_element(type, row, type == KvType::kQ8 ? *reinterpret_cast<const float*>(scales) : 1.0f, d);
}

/// Grid: tokens x KV heads. A thread takes a dim.
__global__ void __launch_bounds__(kSummaryThreads) page_summary_kernel(PageSummaryParams params) {
  const int token = static_cast<int>(blockIdx.x), head = static_cast<int>(blockIdx.y);
  const uint32_t frame = (*params.step.frame_of_token)[token];
  if (frame == kNoFrame || (*params.step.positions)[token] % params.page_tokens != params.page_tokens - 1) return;
  std::byte* page = params.pool + frame * params.page_stride;
  auto* summary = reinterpret_cast<uint16_t*>(page + params.summaries + head * params.summary_bytes);
  for (int d = static_cast<int>(threadIdx.x); d < params.summary_dims; d += kSummaryThreads) {
    float most = -__builtin_inff(), least = __builtin_inff();
    for (int i = 0; d < params.head_dim && i < params.page_tokens; ++i) {
      const float key = load_key(params.type, page + params.keys.row(head, i), page + params.keys.scale(head, i, params.page_tokens), d);
      most = most < key ? key : most;
      least = key < least ? key : least;
    }
    const bool is_dim = d < params.head_dim;  // else a zero behind them
    summary[d] = is_dim ? f16_from_above(most) : uint16_t{0};
    summary[params.summary_dims + d] = is_dim ? f16_from_below(least) : uint16_t{0};
  }
}

void launch_page_summaries(const RopeKvArgs& args, const RopeStep& step, cudaStream_t stream) {
  const PageLayout& layout = args.kv->layout;
  PageSummaryParams params = {};
  params.step = step;
  params.pool = args.kv->base;
  params.page_stride = static_cast<int64_t>(layout.page_stride);
  params.keys = places_of(layout, layout.k, args.place.layer);
  params.type = layout.k.type;
  params.summaries = static_cast<int64_t>(layout.summary_offset(args.place.layer, 0));
  params.summary_bytes = static_cast<int64_t>(layout.summary_bytes);
  params.summary_dims = layout.summary_dims();
  params.page_tokens = layout.page_tokens;
  params.head_dim = layout.head_dim;
  const dim3 grid(static_cast<unsigned>(args.q.rows), static_cast<unsigned>(layout.num_kv_heads));
  launch("summarising pages", {grid, dim3(kSummaryThreads), 0, stream}, page_summary_kernel, params);
}

}  // namespace terrace
