// Number formats of keys and values in KV pages. Plain: ISA-specific files include this.
#pragma once

#include <cstdint>

namespace terrace {

/// kQ8: each row (one token of one head) is integers from -127 to 127 times one float scale. kQ4: each 16 dims of a row are 4-bit codes of
/// kQ4Levels times one f16 scale. kF8: floats of 8 bits (base/half.h) without a scale. Some rows are rotated first, see is_rotated_key() and
/// is_rotated_value().
enum class KvType : uint8_t { kF32, kF16, kBF16, kQ8, kQ4, kF8 };

struct KvFormat {
  KvType k = KvType::kF16;
  KvType v = KvType::kF16;

  constexpr KvFormat() = default;
  constexpr KvFormat(KvType both) : k(both), v(both) {}  // NOLINT(google-explicit-constructor): one type is a format
  constexpr KvFormat(KvType keys, KvType values) : k(keys), v(values) {}
  bool operator==(const KvFormat&) const = default;
};

/// Whether rows have a scale, or scales.
constexpr bool is_quantised(KvType type) { return type == KvType::kQ8 || type == KvType::kQ4; }

/// A kQ4 row is a whole number of runs of 32 dims (zeros fill the last): 16 bytes, of which byte i holds the codes of dims i (low) and i + 16,
/// and two f16 scales, one for each 16 dims.
inline constexpr int32_t kQ4Run = 32;
inline constexpr int32_t kMostQ4Dims = 2048;
constexpr int32_t q4_runs(int32_t dims) { return (dims + kQ4Run - 1) / kQ4Run; }
constexpr int32_t q4_code_bytes(int32_t dims) { return q4_runs(dims) * kQ4Run / 2; }
constexpr int32_t q4_scales(int32_t dims) { return q4_runs(dims) * 2; }

/// A value is its code's level / 128 times the scale, which has either sign. The levels of least square error for 16 numbers from one normal
/// distribution, the largest of which is made the first level (Lloyd's algorithm; found in terrace, 2026-11-28).
inline constexpr int8_t kQ4Levels[16] = {-127, -104, -84, -68, -53, -39, -25, -12, 0, 13, 27, 41, 56, 72, 91, 113};

/// A row of keys has channels that are larger than the rest by far, which its one scale would follow, and which 448 may be too little for. Keys of
/// 8 and 4 bits, and the queries that meet them, are hence rotated by a Hadamard matrix over so many dims each, the largest power of two that
/// divides head_dim: scores stay what they were, and no channel stands out. Values of 4 bits are rotated likewise, and attention's outputs back. (QuaRot, arXiv 2404.00456.)
constexpr int32_t rotated_dims(int32_t head_dim) { return head_dim & -head_dim; }
constexpr bool is_rotated_key(KvType type) { return is_quantised(type) || type == KvType::kF8; }
constexpr bool is_rotated_value(KvType type) { return type == KvType::kQ4; }

}  // namespace terrace
