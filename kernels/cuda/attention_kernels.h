// What the attention kernels are told, and how host code starts them (cuda_attention.cpp). The arithmetic: attention_rows.cuh.
// Included by host code and kernels: plain structs over cuda_runtime_api.h and kv_format.h only.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/kv_format.h"

namespace terrace {

inline constexpr int32_t kMostHeadDims = 256;
inline constexpr int32_t kNoWindow = 1 << 30;  // larger than any position

/// How a block's 4 warps deal with query rows. Narrow: they share the keys and dims of 16 rows. Wide: each has 16 rows of its own, or two
/// warps where registers would not do. A row's bits are the same in both.
enum class AttentionTile { kNarrow, kWide };

constexpr int32_t attention_rows(AttentionTile tile, int32_t head_dim) { return tile == AttentionTile::kNarrow ? 16 : head_dim <= 128 ? 64 : 32; }

enum class KvElement { kF16, kBf16, kF32, kScaled, kF8 };  // of keys; kScaled: Q8 or Q4. All but kBf16 are multiplied as f16

/// At most attention_rows() query rows of one KV head x keys [kv_begin, kv_end). Row r is query head r % heads (of those that
/// read the KV head) of token r / heads (of the task's).
struct AttentionUnit {
  int32_t first_token;     // in the batch, of row 0
  int32_t first_position;  // of first_token
  int32_t first_page;      // in the frames: the page of position 0
  int32_t kv_head;
  int32_t kv_begin;        // multiple of kAttentionSplit
  int32_t kv_end;
  int32_t partial;         // < 0: fold all pieces into the output; else the first token's partial of the only piece
  int32_t first_row;       // rows [first_row, first_row + num_rows)
  int32_t num_rows;
  int32_t heads;
  int32_t first_head;      // query head of row 0
  int32_t unused;          // three 16-byte words
};

/// One token and KV head: partials partial_begin + i * partial_stride, joined in order of i.
struct AttentionJoin {
  int32_t token;
  int32_t partial_begin;
  int32_t partial_stride;
  int32_t num_pieces;
  int32_t heads;
  int32_t first_head;
  int32_t sink_pieces;  // of them lie before the gap,
  int32_t hole;         // after which so many are not the token's (AttentionMerge)
};

/// Addresses are device addresses. A slot is an address that is the same in every step and holds that of this step's array.
struct AttentionParams {
  const float* q;  // [num_tokens] rows q_stride apart, 16-byte aligned
  int64_t q_stride;
  float* out;      // likewise
  int64_t out_stride;
  const AttentionUnit* const* units;   // slot
  const int32_t* const* num_units;     // slot of one number
  const uint32_t* const* frames;       // slot
  const uint32_t* chosen_frames;       // if not null, in their place (page_choice_kernels.h)
  const std::byte* kv;                 // the pool, with the layer's offset added
  const std::byte* host_kv;            // likewise, for frames from num_frames on: pinned memory, read over the link
  uint32_t num_frames;
  int64_t page_stride;                 // bytes, as the next four
  int64_t head_stride;
  int64_t v_offset;
  int32_t row_bytes;
  // Of kScaled keys, whose values may be F16; offsets from where the layer begins:
  KvType k_type, v_type;
  int64_t v_head_stride;
  int32_t v_row_bytes;
  int64_t k_scales;
  int64_t v_scales;
  int32_t page_shift;                  // log2 of a page's positions
  int32_t head_dim;                    // a multiple of 4
  int32_t most_heads;                  // query heads of a KV head at most: rows of a partial
  float scale_log2;                    // multiplies q.k; scores are exponents of 2
  float soft_cap_log2;                 // 0: none; else a score s counts as soft_cap_log2 * tanh(s / soft_cap_log2)
  float tanh_scale;                    // 2 log2(e) / soft_cap_log2
  int32_t window;                      // AttentionWindow's; kNoWindow: none
  int32_t sinks;
  const float* q_sinks;                // like q, for keys before `sinks`; null: q
  int64_t q_sinks_stride;
  float* partial_out;                  // [num_partials, most_heads, head_dim], normalised
  float* partial_lse;                  // [num_partials, most_heads], log2 of the sum of 2^score
};

struct AttentionJoinParams {
  const AttentionJoin* const* joins;  // slot
  const int32_t* const* num_joins;    // slot of one number
  const float* partial_out;
  const float* partial_lse;
  int32_t most_heads;
  int32_t head_dim;
  float* out;
  int64_t out_stride;
};

/// The kernel that serves such heads.
struct AttentionKind {
  KvElement element = KvElement::kF16;
  int32_t head_dim = 0;
  bool operator==(const AttentionKind&) const = default;
};

/// Blocks of a tile's kernel that fit on a multiprocessor, by registers and by shared memory.
int attention_blocks_per_multiprocessor(const AttentionKind& kind, AttentionTile tile, const cudaDeviceProp& device);
/// Once per kind and process and device, before the first start_attention(). False: a block of this device may not have as much shared memory.
bool prepare_attention(const AttentionKind& kind, bool with_sinks, const cudaDeviceProp& device);
/// `num_blocks` blocks walk the units; any number gives the same bits.
void start_attention(const AttentionKind& kind, AttentionTile tile, int num_blocks, const AttentionParams& params, cudaStream_t stream);
/// `num_blocks` blocks walk the joins.
void start_attention_joins(int num_blocks, const AttentionJoinParams& params, cudaStream_t stream);

}  // namespace terrace
