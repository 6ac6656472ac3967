// Number formats of keys and values in KV pages. Plain: ISA-specific files include this.
#pragma once

#include <cstdint>

namespace terrace {

/// kQ8: each row (one token of one head) is integers from -127 to 127 times one float scale. Keys are then rotated first, see rotated_dims().
enum class KvType : uint8_t { kF32, kF16, kBF16, kQ8 };

struct KvFormat {
  KvType k = KvType::kF16;
  KvType v = KvType::kF16;

  constexpr KvFormat() = default;
  constexpr KvFormat(KvType both) : k(both), v(both) {}  // NOLINT(google-explicit-constructor): one type is a format
  constexpr KvFormat(KvType keys, KvType values) : k(keys), v(values) {}
  bool operator==(const KvFormat&) const = default;
};

/// Whether rows have a scale.
constexpr bool is_quantised(KvType type) { return type == KvType::kQ8; }

/// A row of keys has channels that are larger than the rest by far, which its one scale would follow. Quantised keys, and the queries that
/// meet them, are hence rotated by a Hadamard matrix over so many dims each, the largest power of two that divides head_dim: scores stay what
/// they were, and no channel stands out. (QuaRot, arXiv 2404.00456.)
constexpr int32_t rotated_dims(int32_t head_dim) { return head_dim & -head_dim; }

}  // namespace terrace
