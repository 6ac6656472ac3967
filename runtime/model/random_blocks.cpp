#include "runtime/model/random_blocks.h"

#include <algorithm>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/half.h"

namespace terrace {
namespace {

// splitmix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

void fill_bytes(uint64_t key, std::byte* out, size_t bytes) {
  for (size_t at = 0; at < bytes; at += sizeof(uint64_t)) {
    const uint64_t word = mix(key + at);
    std::memcpy(out + at, &word, std::min(sizeof(word), bytes - at));
  }
}

void put_f16(std::byte* at, float value) {
  const uint16_t half = float_to_f16(value);
  std::memcpy(at, &half, sizeof(half));
}

float uniform_deviation(int bits) { return static_cast<float>(1 << bits) * 0.2887f; }  // width / sqrt(12)

/// A block of one f16 scale, perhaps an f16 min, and codes of `bits` each; random codes are uniform, so the scale sets the deviation.
void set_simple_scales(std::byte* block, int bits, bool has_min, float deviation) {
  const float scale = deviation / uniform_deviation(bits);
  put_f16(block, scale);
  if (has_min) put_f16(block + 2, -scale * static_cast<float>((1 << bits) - 1) / 2);
}

/// Q4_K, Q5_K: value = d * scale * code - dmin * min, eight 6-bit scales and mins. Scale and min of a group are the same random number
/// of 32..47, and dmin is so much larger than d that values are centred.
void set_super_block_scales(std::byte* block, int bits, uint64_t key, float deviation) {
  constexpr float kMeanScale = 39.5f;
  const float scale = deviation / uniform_deviation(bits) / kMeanScale;
  put_f16(block, scale);
  put_f16(block + 2, scale * static_cast<float>((1 << bits) - 1) / 2);
  const uint64_t low_bits = mix(key);
  uint8_t scales[12];
  for (int j = 0; j < 4; ++j) {
    const auto first = static_cast<uint8_t>(32 + (low_bits >> (4 * j) & 15));       // of group j
    const auto second = static_cast<uint8_t>(32 + (low_bits >> (4 * j + 16) & 15));  // of group j + 4
    scales[j] = static_cast<uint8_t>(first | (second >> 4) << 6);
    scales[j + 4] = scales[j];
    scales[j + 8] = static_cast<uint8_t>((second & 15) | (second & 15) << 4);
  }
  std::memcpy(block + 4, scales, sizeof(scales));
}

/// Q6_K: sixteen int8 scales, then the f16 scale; made 32..47 of either sign.
void set_q6_k_scales(std::byte* block, float deviation) {
  constexpr float kMeanScale = 39.5f;
  for (int j = 0; j < 16; ++j) {
    std::byte& scale = block[192 + j];
    const auto magnitude = static_cast<int8_t>(32 + (static_cast<uint8_t>(scale) & 15));
    scale = static_cast<std::byte>((static_cast<uint8_t>(scale) & 16) != 0 ? -magnitude : magnitude);
  }
  put_f16(block + 208, deviation / uniform_deviation(6) / kMeanScale);
}

void fill_quantised(DType dtype, uint64_t key, float deviation, std::byte* block) {
  fill_bytes(key, block, dtype_info(dtype).block_bytes);
  switch (dtype) {
    case DType::kQ4_0: return set_simple_scales(block, 4, false, deviation);
    case DType::kQ4_1: return set_simple_scales(block, 4, true, deviation);
    case DType::kQ5_0: return set_simple_scales(block, 5, false, deviation);
    case DType::kQ5_1: return set_simple_scales(block, 5, true, deviation);
    case DType::kQ8_0: return set_simple_scales(block, 8, false, deviation);
    case DType::kQ4_K: return set_super_block_scales(block, 4, key, deviation);
    case DType::kQ5_K: return set_super_block_scales(block, 5, key, deviation);
    case DType::kQ6_K: return set_q6_k_scales(block, deviation);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;
  }
  throw Error(ErrorCode::kInternal, "random blocks of a format without blocks");
}

void put_plain(DType dtype, uint64_t key, float deviation, std::byte* out) {
  const float unit = static_cast<float>(mix(key) >> 40) * 0x1p-24f;           // [0, 1)
  const float value = (unit - 0.5f) * 3.4641f * deviation;                    // uniform of width sqrt(12)
  if (dtype == DType::kF16) return put_f16(out, value);
  if (dtype == DType::kBF16) {
    const uint16_t half = float_to_bf16(value);
    std::memcpy(out, &half, sizeof(half));
  } else {
    std::memcpy(out, &value, sizeof(value));
  }
}

}  // namespace

uint64_t random_key(const char* name, size_t length) {
  uint64_t key = 0;
  for (size_t i = 0; i < length; ++i) key = mix(key ^ static_cast<uint8_t>(name[i]));
  return key;
}

void fill_random_blocks(DType dtype, uint64_t tensor_key, int64_t row, int64_t first_block, int64_t num_blocks, float deviation, std::byte* out) {
  const DTypeInfo& info = dtype_info(dtype);
  const uint64_t row_key = mix(tensor_key ^ static_cast<uint64_t>(row));
  for (int64_t block = first_block; block < first_block + num_blocks; ++block, out += info.block_bytes) {
    const uint64_t key = row_key + (static_cast<uint64_t>(block) << 16);
    if (info.block_elements == 1) {
      put_plain(dtype, key, deviation, out);
    } else {
      fill_quantised(dtype, key, deviation, out);
    }
  }
}

}  // namespace terrace
