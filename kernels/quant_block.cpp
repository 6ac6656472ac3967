#include "kernels/quant_block.h"

#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/half.h"

namespace terrace {
namespace {

constexpr int kSuperBlock = 256;  // columns of a K-quant block

uint16_t load_u16(const uint8_t* bytes) {
  uint16_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

float load_f16(const uint8_t* bytes) { return f16_to_float(load_u16(bytes)); }

uint32_t load_u32(const uint8_t* bytes) {
  uint32_t value;
  std::memcpy(&value, bytes, sizeof value);
  return value;
}

/// Q4_0, Q4_1, Q5_0, Q5_1: scale, [min], [fifth bits], then byte i holds the codes of columns i (low nibble) and i + 16.
QuantGroup read_nibble_block(const QuantFormat& format, const uint8_t* bytes) {
  QuantGroup group;
  group.scale = load_f16(bytes);
  bytes += 2;
  if (format.has_min) {
    group.min = load_f16(bytes);
    bytes += 2;
  }
  uint32_t fifth_bits = 0;
  if (format.code_bits == 5) {
    fifth_bits = load_u32(bytes);
    bytes += 4;
  }
  for (int i = 0; i < 16; ++i) {
    group.codes[i] = static_cast<uint8_t>((bytes[i] & 15) | ((fifth_bits >> i & 1) << 4));
    group.codes[i + 16] = static_cast<uint8_t>((bytes[i] >> 4) | ((fifth_bits >> (i + 16) & 1) << 4));
  }
  return group;
}

QuantGroup read_q8_0(const uint8_t* bytes) {
  QuantGroup group;
  group.scale = load_f16(bytes);
  for (int i = 0; i < 32; ++i) group.codes[i] = static_cast<uint8_t>(bytes[2 + i] ^ 0x80);
  return group;
}

/// The 6-bit scale and min codes of group `index` of 8, packed in 12 bytes.
void read_k_scales(const uint8_t* packed, int index, int& scale, int& min) {
  if (index < 4) {
    scale = packed[index] & 63;
    min = packed[index + 4] & 63;
  } else {
    scale = (packed[index + 4] & 15) | (packed[index - 4] >> 6 << 4);
    min = (packed[index + 4] >> 4) | (packed[index] >> 6 << 4);
  }
}

/// Q4_K, Q5_K: d, dmin, 12 bytes of scales, [32 bytes of fifth bits: bit g of byte i belongs to column 32 g + i], then 4 runs of
/// 32 bytes; run r holds group 2 r in its low nibbles and group 2 r + 1 in its high ones.
QuantGroup read_k_group(const QuantFormat& format, const uint8_t* block, int index) {
  int scale_code = 0;
  int min_code = 0;
  read_k_scales(block + 4, index, scale_code, min_code);
  QuantGroup group;
  group.scale = load_f16(block) * static_cast<float>(scale_code);
  group.min = -(load_f16(block + 2) * static_cast<float>(min_code));
  const uint8_t* fifth_bits = block + 16;
  const uint8_t* nibbles = block + (format.code_bits == 5 ? 48 : 16) + index / 2 * 32;
  for (int i = 0; i < 32; ++i) {
    int code = index % 2 == 0 ? nibbles[i] & 15 : nibbles[i] >> 4;
    if (format.code_bits == 5) code |= (fifth_bits[i] >> index & 1) << 4;
    group.codes[i] = static_cast<uint8_t>(code);
  }
  return group;
}

/// Q6_K: 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales, d. Each half of 128 columns is four runs of 32: their
/// nibbles lie in bytes 0-31 low, 32-63 low, 0-31 high, 32-63 high; their bit pairs in bits 0-1, 2-3, 4-5, 6-7 of the same 32 bytes.
QuantGroup read_q6_k(const uint8_t* block, int index) {
  const int run = index / 2 % 4;
  const int first = index % 2 * 16;  // of the run
  const uint8_t* nibbles = block + index / 8 * 64 + run % 2 * 32 + first;
  const uint8_t* pairs = block + 128 + index / 8 * 32 + first;
  QuantGroup group;
  group.scale = load_f16(block + 208) * static_cast<float>(static_cast<int8_t>(block[192 + index]));
  for (int i = 0; i < 16; ++i) {
    const int low = run < 2 ? nibbles[i] & 15 : nibbles[i] >> 4;
    group.codes[i] = static_cast<uint8_t>(low | (pairs[i] >> (2 * run) & 3) << 4);
  }
  return group;
}

template <typename Load>
void convert(const std::byte* from, size_t element_bytes, int64_t count, float* out, Load load) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(from);
  for (int64_t i = 0; i < count; ++i) out[i] = load(bytes + static_cast<size_t>(i) * element_bytes);
}

}  // namespace

QuantGroup read_group(DType dtype, const std::byte* row, int64_t first_col) {
  const QuantFormat format = quant_format(dtype);
  const DTypeInfo& info = dtype_info(dtype);
  const auto* block = reinterpret_cast<const uint8_t*>(row) + static_cast<size_t>(first_col) / info.block_elements * info.block_bytes;
  const int index = static_cast<int>(first_col % kSuperBlock) / format.group_columns;
  switch (dtype) {
    case DType::kQ4_0:
    case DType::kQ4_1:
    case DType::kQ5_0:
    case DType::kQ5_1: return read_nibble_block(format, block);
    case DType::kQ8_0: return read_q8_0(block);
    case DType::kQ4_K:
    case DType::kQ5_K: return read_k_group(format, block, index);
    case DType::kQ6_K: return read_q6_k(block, index);
    case DType::kF32:
    case DType::kF16:
    case DType::kBF16: break;
  }
  throw Error(ErrorCode::kInternal, "read_group of a dtype that has no quantisation blocks");
}

void dequantize_row(DType dtype, const std::byte* row, int64_t first_col, int64_t count, float* out) {
  if (dtype == DType::kF32) {
    std::memcpy(out, row + first_col * 4, static_cast<size_t>(count) * 4);
  } else if (dtype == DType::kF16) {
    convert(row + first_col * 2, 2, count, out, load_f16);
  } else if (dtype == DType::kBF16) {
    convert(row + first_col * 2, 2, count, out, [](const uint8_t* bytes) { return bf16_to_float(load_u16(bytes)); });
  } else {
    const QuantFormat format = quant_format(dtype);
    for (int64_t col = 0; col < count; col += format.group_columns) {
      const QuantGroup group = read_group(dtype, row, first_col + col);
      for (int i = 0; i < format.group_columns; ++i) {
        const float value = group.scale * static_cast<float>(group.codes[i] + format.offset);
        out[col + i] = format.has_min ? value + group.min : value;
      }
    }
  }
}

}  // namespace terrace
