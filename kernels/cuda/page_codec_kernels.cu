// A warp takes a row: a head of a token of a layer, of K or of V. Types are looked at once a row, and are the same for all lanes.
#include "kernels/cuda/page_codec_kernels.h"

#include <algorithm>

#include "kernels/cuda/hadamard.cuh"
#include "kernels/cuda/hadamard_kernels.h"
#include "kernels/cuda/kv_rows.cuh"
#include "kernels/cuda/launch.cuh"

namespace terrace {

constexpr int kCodecThreads = 256;
constexpr int kCodecWarps = kCodecThreads / 32;
constexpr int kConversionsPerLaunch = 16;

/// K or V of a layout.
struct CodecRows {
  KvType type;
  RowPlaces places;  // of the first layer
  int64_t layer_stride;
};

struct PageCodecParams {
  PageConversion pages[kConversionsPerLaunch];
  CodecRows from[2], to[2];  // K, V
  HadamardTurn turn;
  bool turns_keys;
  int32_t num_rows, num_kv_heads, page_tokens, head_dim;  // rows of K, as many of V
};

__device__ __forceinline__ void load_row(KvType type, const std::byte* from, const std::byte* scale, int dims, float* to) {
  const float factor = type == KvType::kQ8 ? *reinterpret_cast<const float*>(scale) : 1.0f;
  for (int d = static_cast<int>(threadIdx.x % 32); d < dims; d += 32) to[d] = load_element(type, from, factor, d);
  __syncwarp();
}

template <typename Element>
__device__ __forceinline__ void store_elements(const float* from, int dims, std::byte* to) {
  for (int d = static_cast<int>(threadIdx.x % 32); d < dims; d += 32) store_element(reinterpret_cast<Element*>(to) + d, from[d]);
}

__device__ __forceinline__ void store_row(KvType type, const float* from, int dims, std::byte* to, std::byte* scale) {
  switch (type) {
    case KvType::kF16: return store_elements<__half>(from, dims, to);
    case KvType::kBF16: return store_elements<__nv_bfloat16>(from, dims, to);
    case KvType::kQ8: return store_codes(Q8(), from, dims, to, scale);
    default: return store_elements<float>(from, dims, to);
  }
}

__device__ __forceinline__ void copy_bytes(const std::byte* from, int64_t bytes, std::byte* to) {
  for (int64_t i = threadIdx.x % 32; i < bytes; i += 32) to[i] = from[i];
}

/// Grid: rows / kCodecWarps x pages.
__global__ void __launch_bounds__(kCodecThreads) convert_pages_kernel(PageCodecParams params) {
  __shared__ float buffers[kCodecWarps][kMostTurnedDims];
  float* buffer = buffers[threadIdx.x / 32];
  int32_t index = static_cast<int32_t>(blockIdx.x * kCodecWarps + threadIdx.x / 32);
  if (index >= 2 * params.num_rows) return;
  const bool is_key = index < params.num_rows;
  if (!is_key) index -= params.num_rows;
  const int layer = index / params.page_tokens / params.num_kv_heads, head = index / params.page_tokens % params.num_kv_heads, token = index % params.page_tokens;
  const CodecRows& own = params.from[is_key ? 0 : 1];
  const CodecRows& other = params.to[is_key ? 0 : 1];
  const PageConversion page = params.pages[blockIdx.y];
  const std::byte* layer_from = page.from + layer * own.layer_stride;
  std::byte* layer_to = page.to + layer * other.layer_stride;
  const std::byte* from = layer_from + own.places.row(head, token);
  const std::byte* scale = layer_from + own.places.scale(head, token, params.page_tokens);
  std::byte* to = layer_to + other.places.row(head, token);
  std::byte* scale_there = layer_to + other.places.scale(head, token, params.page_tokens);
  if (own.type == other.type) {
    copy_bytes(from, own.places.row_bytes, to);
    copy_bytes(scale, own.places.scale_bytes, scale_there);
    return;
  }
  load_row(own.type, from, scale, params.head_dim, buffer);
  if (is_key && params.turns_keys) turn_head(params.turn, buffer);
  store_row(other.type, buffer, params.head_dim, to, scale_there);
}

static CodecRows codec_rows(const PageLayout& layout, const PageRows& rows) { return {rows.type, places_of(layout, rows, 0), static_cast<int64_t>(layout.layer_stride)}; }

void launch_convert_pages(std::span<const PageConversion> pages, const PageLayout& from, const PageLayout& to, cudaStream_t stream) {
  PageCodecParams params = {};
  params.from[0] = codec_rows(from, from.k);
  params.from[1] = codec_rows(from, from.v);
  params.to[0] = codec_rows(to, to.k);
  params.to[1] = codec_rows(to, to.v);
  params.turn = hadamard_turn(from.head_dim);
  params.turns_keys = is_rotated_key(from.k.type) != is_rotated_key(to.k.type);
  params.num_rows = from.num_layers * from.num_kv_heads * from.page_tokens;
  params.num_kv_heads = from.num_kv_heads;
  params.page_tokens = from.page_tokens;
  params.head_dim = from.head_dim;
  const auto blocks = static_cast<unsigned>((2 * params.num_rows + kCodecWarps - 1) / kCodecWarps);
  while (!pages.empty()) {
    const std::span<const PageConversion> some = pages.first(std::min<size_t>(pages.size(), kConversionsPerLaunch));
    std::copy(some.begin(), some.end(), params.pages);
    launch("converting pages", {dim3(blocks, static_cast<unsigned>(some.size())), dim3(kCodecThreads), 0, stream}, convert_pages_kernel, params);
    pages = pages.subspan(some.size());
  }
}

}  // namespace terrace
