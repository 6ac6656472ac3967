// Values of GGUF's quantisation blocks on the device, as kernels/quant_block.h reads them and with the same bits: products and sums
// are rounded apart. For kernels that read rows as they lie in the file; blocks start at even addresses only.
#pragma once

#include "kernels/quant_block.h"

namespace terrace {

template <DType kType>
struct BlockShape;  // elements and bytes of a block, as dtype_info() says on the host
template <> struct BlockShape<DType::kF32> { static constexpr int kElements = 1, kBytes = 4; };
template <> struct BlockShape<DType::kF16> { static constexpr int kElements = 1, kBytes = 2; };
template <> struct BlockShape<DType::kBF16> { static constexpr int kElements = 1, kBytes = 2; };
template <> struct BlockShape<DType::kQ4_0> { static constexpr int kElements = 32, kBytes = 18; };
template <> struct BlockShape<DType::kQ4_1> { static constexpr int kElements = 32, kBytes = 20; };
template <> struct BlockShape<DType::kQ5_0> { static constexpr int kElements = 32, kBytes = 22; };
template <> struct BlockShape<DType::kQ5_1> { static constexpr int kElements = 32, kBytes = 24; };
template <> struct BlockShape<DType::kQ8_0> { static constexpr int kElements = 32, kBytes = 34; };
template <> struct BlockShape<DType::kQ4_K> { static constexpr int kElements = 256, kBytes = 144; };
template <> struct BlockShape<DType::kQ5_K> { static constexpr int kElements = 256, kBytes = 176; };
template <> struct BlockShape<DType::kQ6_K> { static constexpr int kElements = 256, kBytes = 210; };

namespace dequantize_detail {

__device__ __forceinline__ uint32_t load_u16(const uint8_t* bytes) { return *reinterpret_cast<const uint16_t*>(bytes); }
__device__ __forceinline__ float load_f16(const uint8_t* bytes) { return __half2float(*reinterpret_cast<const __half*>(bytes)); }

/// scale * (code + offset), + min where the format has one.
template <DType kType>
__device__ __forceinline__ float value_of(int code, float scale, float min) {
  constexpr QuantFormat kFormat = quant_format(kType);
  const float value = __fmul_rn(scale, static_cast<float>(code + kFormat.offset));
  return kFormat.has_min ? __fadd_rn(value, min) : value;
}

/// Q4_0, Q4_1, Q5_0, Q5_1; i: 0..31.
template <DType kType>
__device__ __forceinline__ float nibble_block(const uint8_t* block, int i) {
  constexpr QuantFormat kFormat = quant_format(kType);
  const uint8_t* rest = block + (kFormat.has_min ? 4 : 2);
  const uint8_t* codes = rest + (kFormat.code_bits == 5 ? 4 : 0);
  int code = i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
  if (kFormat.code_bits == 5) code |= (rest[i / 8] >> (i % 8) & 1) << 4;
  return value_of<kType>(code, load_f16(block), kFormat.has_min ? load_f16(block + 2) : 0.0f);
}

/// Q4_K, Q5_K; i: 0..255.
template <DType kType>
__device__ __forceinline__ float k_block(const uint8_t* block, int i) {
  constexpr bool kFive = quant_format(kType).code_bits == 5;
  const uint8_t* packed = block + 4;
  const int group = i / 32;
  int scale = 0, min = 0;
  if (group < 4) {
    scale = packed[group] & 63;
    min = packed[group + 4] & 63;
  } else {
    scale = (packed[group + 4] & 15) | (packed[group - 4] >> 6 << 4);
    min = (packed[group + 4] >> 4) | (packed[group] >> 6 << 4);
  }
  const uint8_t byte = block[(kFive ? 48 : 16) + group / 2 * 32 + i % 32];
  int code = group % 2 == 0 ? byte & 15 : byte >> 4;
  if (kFive) code |= (block[16 + i % 32] >> group & 1) << 4;
  return value_of<kType>(code, __fmul_rn(load_f16(block), static_cast<float>(scale)), -__fmul_rn(load_f16(block + 2), static_cast<float>(min)));
}

/// i: 0..255.
__device__ __forceinline__ float q6_k(const uint8_t* block, int i) {
  const int run = i / 32 % 4;
  const uint8_t nibbles = block[i / 128 * 64 + run % 2 * 32 + i % 32];
  const int low = run < 2 ? nibbles & 15 : nibbles >> 4;
  const int high = block[128 + i / 128 * 32 + i % 32] >> (2 * run) & 3;
  const float scale = __fmul_rn(load_f16(block + 208), static_cast<float>(static_cast<int8_t>(block[192 + i / 16])));
  return value_of<DType::kQ6_K>(low | high << 4, scale, 0.0f);
}

}  // namespace dequantize_detail

/// Element `col` of a row; `row` is its column 0, at an even address (F32: a multiple of 4).
template <DType kType>
__device__ __forceinline__ float dequantize(const uint8_t* row, int64_t col) {
  using Shape = BlockShape<kType>;
  const uint8_t* block = row + col / Shape::kElements * Shape::kBytes;
  const int i = static_cast<int>(col % Shape::kElements);
  if constexpr (kType == DType::kF32) return *reinterpret_cast<const float*>(block);
  else if constexpr (kType == DType::kF16) return dequantize_detail::load_f16(block);
  else if constexpr (kType == DType::kBF16) return __uint_as_float(dequantize_detail::load_u16(block) << 16);
  else if constexpr (kType == DType::kQ8_0) return __fmul_rn(dequantize_detail::load_f16(block), static_cast<float>(static_cast<int8_t>(block[2 + i])));
  else if constexpr (kType == DType::kQ6_K) return dequantize_detail::q6_k(block, i);
  else if constexpr (Shape::kElements == 256) return dequantize_detail::k_block<kType>(block, i);
  else return dequantize_detail::nibble_block<kType>(block, i);
}

}  // namespace terrace
