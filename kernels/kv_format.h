// Number formats of keys and values in KV pages. Plain: ISA-specific files include this.
#pragma once

#include <cstdint>

namespace terrace {

/// kQ8: each row (one token of one head) is integers from -127 to 127 times one float scale. Keys are then rotated first, see rotated_dims().
/// kI16: likewise from -8191 to 8191, in the order in which the CPU multiplies them, see code_index().
enum class KvType : uint8_t { kF32, kF16, kBF16, kQ8, kI16 };

struct KvFormat {
  KvType k = KvType::kF16;
  KvType v = KvType::kF16;

  constexpr KvFormat() = default;
  constexpr KvFormat(KvType both) : k(both), v(both) {}  // NOLINT(google-explicit-constructor): one type is a format
  constexpr KvFormat(KvType keys, KvType values) : k(keys), v(values) {}
  bool operator==(const KvFormat&) const = default;
};

/// Whether rows have a scale.
constexpr bool is_quantised(KvType type) { return type == KvType::kQ8 || type == KvType::kI16; }

/// A row of keys has channels that are larger than the rest by far, which its one scale would follow. Quantised keys, and the queries that
/// meet them, are hence rotated by a Hadamard matrix over so many dims each, the largest power of two that divides head_dim: scores stay what
/// they were, and no channel stands out. (QuaRot, arXiv 2404.00456.)
constexpr int32_t rotated_dims(int32_t head_dim) { return head_dim & -head_dim; }

inline constexpr int32_t kLargestCode = 8191;
inline constexpr int32_t kBlockKeys = 16;            // tokens of kI16 that lie together
inline constexpr int32_t kGroupDims = 2 * kBlockKeys;

/// Dims of a row of kI16: whole groups.
[[gnu::always_inline]] constexpr int32_t padded_dims(int32_t head_dim) { return (head_dim + kGroupDims - 1) / kGroupDims * kGroupDims; }

/// Where the pages of a head hold a token's code of dim d in kI16, counted from the page's first code. In blocks of 16 tokens, pairs of codes:
/// keys [dims / 2][16 tokens], dim d of each 32 with d + 16; values [8 tokens][dims], token t with t + 8. Smaller pages: [tokens][dims].
constexpr int64_t code_index(bool values, int32_t page_tokens, int32_t head_dim, int32_t token, int32_t d) {
  const int64_t dims = padded_dims(head_dim);
  if (page_tokens < kBlockKeys) return token * dims + d;
  const int64_t block = token / kBlockKeys * kBlockKeys * dims;
  const int32_t t = token % kBlockKeys, half = kBlockKeys / 2;
  if (values) return block + (t % half * dims + d) * 2 + t / half;
  return block + (d / kGroupDims * kBlockKeys + d % kBlockKeys) * kGroupDims + 2 * t + d % kGroupDims / kBlockKeys;
}

}  // namespace terrace
