#include "kernels/cuda/cuda_weight.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/half.h"
#include "kernels/quant_block.h"

namespace terrace {
namespace {

constexpr size_t kPieceBytes = size_t{4} << 20;  // packed and sent at a time

CodeKind code_kind(const QuantFormat& format) {
  if (format.code_bits == 0) return CodeKind::kHalves;
  if (format.group_columns == 16) return CodeKind::kSixteenths;
  return format.code_bits <= 4 ? CodeKind::kNibbles : CodeKind::kBytes;
}

uint32_t half_pair(float value) { return float_to_f16(value) * 0x10001u; }

DeviceWeight device_layout(DType dtype, int64_t rows, int64_t cols) {
  const QuantFormat format = quant_format(dtype);
  DeviceWeight weight;
  weight.kind = code_kind(format);
  weight.half_scales = format.f16_scales;
  weight.has_min = format.has_min;
  weight.num_outputs = static_cast<int>(rows);
  weight.num_stages = static_cast<int>((cols + kStageColumns - 1) / kStageColumns);
  weight.record_bytes = code_bytes(weight.kind);
  if (weight.kind != CodeKind::kHalves) {
    weight.record_bytes += kStageColumns / format.group_columns * 8 * scale_entry_bytes(weight.half_scales, weight.has_min);
  }
  weight.code_bias = half_pair(1024.0f - static_cast<float>(format.offset));
  weight.high_code_bias = half_pair(static_cast<float>(format.offset) - 64.0f);
  return weight;
}

/// Bytes of one unit of packing: all columns of a strip, or of one output of kHalves.
size_t unit_bytes(const DeviceWeight& weight) {
  const size_t stages = static_cast<size_t>(weight.num_stages);
  return stages * (weight.kind == CodeKind::kHalves ? kStageColumns * sizeof(uint16_t) : static_cast<size_t>(weight.record_bytes));
}

int64_t num_units(const DeviceWeight& weight) {
  return weight.kind == CodeKind::kHalves ? weight.num_outputs : (weight.num_outputs + kStripOutputs - 1) / kStripOutputs;
}

size_t layout_bytes(const DeviceWeight& weight) { return static_cast<size_t>(num_units(weight)) * unit_bytes(weight); }

/// Eight 4-bit codes of lane q: the nibbles of its word, in the order that expand_nibbles (weight_fragments.cuh) takes them out.
uint32_t nibble_word(const uint8_t* codes, int q) {
  uint32_t word = 0;
  for (int step = 0; step < 2; ++step) {
    const uint8_t* four = codes + 16 * step + 4 * q;
    word |= (four[0] | uint32_t{four[2]} << 4 | uint32_t{four[1]} << 16 | uint32_t{four[3]} << 20) << (8 * step);
  }
  return word;
}

/// Writes the codes of output `index` of the strip, from column `first` of a stage on, into its record.
void put_codes(CodeKind kind, const uint8_t* codes, int num_codes, int index, int first, uint8_t* record) {
  const int group = first / kGroupColumns;
  uint8_t* lane = record + index % 8 * 64;
  for (int q = 0; q < 4; ++q, lane += 16) {
    if (kind == CodeKind::kNibbles) {
      const uint32_t word = nibble_word(codes, q);
      std::memcpy(lane + 8 * group + 4 * (index / 8), &word, sizeof word);
    } else {
      for (int n = 0; n < num_codes; n += 16) {
        const int step = (first + n) % kGroupColumns / 16;
        std::memcpy(lane + 512 * group + 8 * (index / 8) + 4 * step, codes + n + 4 * q, 4);
      }
    }
  }
}

void put_scale(const DeviceWeight& weight, const QuantGroup& group, int index, int scale_group, uint8_t* record) {
  const int entry = scale_entry_bytes(weight.half_scales, weight.has_min);
  uint8_t* at = record + code_bytes(weight.kind) + (scale_group * 8 + index % 8) * entry + index / 8 * (entry / 2);
  if (weight.half_scales) {
    const uint16_t both[] = {float_to_f16(group.scale), float_to_f16(group.min)};
    std::memcpy(at, both, weight.has_min ? 4 : 2);
  } else {
    const float both[] = {group.scale, group.min};
    std::memcpy(at, both, weight.has_min ? 8 : 4);
  }
}

const std::byte* row_of(const HostMatrix& matrix, int64_t output) { return matrix.data + static_cast<size_t>(output) * matrix.row_bytes; }

/// One strip: the records of all its stages, which are zeros before. Returns a bound of its weights' magnitudes.
float pack_strip(const HostMatrix& matrix, const DeviceWeight& weight, int64_t strip, uint8_t* records) {
  const QuantFormat format = quant_format(matrix.dtype);
  const float largest_code = static_cast<float>(std::max(-format.offset, (1 << format.code_bits) - 1 + format.offset));
  const int64_t first = strip * kStripOutputs;
  const int count = static_cast<int>(std::min<int64_t>(kStripOutputs, matrix.rows - first));
  float largest = 0;
  for (int index = 0; index < count; ++index) {
    for (int64_t col = 0; col < matrix.cols; col += format.group_columns) {
      const QuantGroup group = read_group(matrix.dtype, row_of(matrix, first + index), matrix.first_col + col);
      uint8_t* record = records + col / kStageColumns * weight.record_bytes;
      const int in_stage = static_cast<int>(col % kStageColumns);
      put_codes(weight.kind, group.codes, format.group_columns, index, in_stage, record);
      put_scale(weight, group, index, in_stage / format.group_columns, record);
      largest = std::fmax(largest, std::fabs(group.scale) * largest_code + std::fabs(group.min));
    }
  }
  return largest;
}

std::vector<float> floats_of(const HostMatrix& matrix, int64_t output) {
  std::vector<float> values(static_cast<size_t>(matrix.cols));
  dequantize_row(matrix.dtype, row_of(matrix, output), matrix.first_col, matrix.cols, values.data());
  return values;
}

/// One output of kHalves, which is zeros before.
void pack_halves(const HostMatrix& matrix, const DeviceWeight& weight, int64_t output, uint16_t* to) {
  const std::vector<float> values = floats_of(matrix, output);
  const float factor = 1.0f / weight.scale;
  for (size_t col = 0; col < values.size(); ++col) {  // step, q and i of DeviceRows' order
    const size_t in_group = col % kGroupColumns;
    to[col - in_group + in_group % 16 / 4 * 8 + in_group / 16 * 4 + in_group % 4] = float_to_f16(values[col] * factor);
  }
}

/// The power of two that brings `largest` to [2^14, 2^15) when divided by it.
float scale_for(float largest) {
  const int exponent = largest > 0 && std::isfinite(largest) ? std::clamp(std::ilogb(largest) - 14, -126, 126) : 0;
  return std::ldexp(1.0f, exponent);
}

float largest_weight(const HostMatrix& matrix, ThreadPool& pool) {
  std::vector<float> of_output(static_cast<size_t>(matrix.rows));
  pool.parallel_for(matrix.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t output = begin; output < end; ++output) {
      float largest = 0;
      for (const float value : floats_of(matrix, output)) largest = std::fmax(largest, std::fabs(value));
      of_output[static_cast<size_t>(output)] = largest;
    }
  });
  return *std::max_element(of_output.begin(), of_output.end());
}

void check_slice(const HostMatrix& matrix) {
  const int group = quant_format(matrix.dtype).code_bits == 0 ? 1 : quant_format(matrix.dtype).group_columns;
  if (matrix.rows >= 1 && matrix.cols >= 1 && matrix.first_col % group == 0 && matrix.cols % group == 0) return;
  throw Error(ErrorCode::kModelUnsupported,
              fmt::format("a {} matrix cannot be cut to {} rows and columns {} to {}: columns go in groups of {}", dtype_info(matrix.dtype).name,
                          matrix.rows, matrix.first_col, matrix.first_col + matrix.cols, group));
}

}  // namespace

size_t CudaWeight::packed_bytes(DType dtype, int64_t rows, int64_t cols) { return layout_bytes(device_layout(dtype, rows, cols)); }

CudaWeight::CudaWeight(const HostMatrix& matrix, CudaDevice& device, ThreadPool& pool) : cols_(matrix.cols) {
  check_slice(matrix);
  device_ = device_layout(matrix.dtype, matrix.rows, matrix.cols);
  memory_ = device.allocate(layout_bytes(device_));
  device_.data = reinterpret_cast<const uint8_t*>(memory_.data());
  const bool halves = device_.kind == CodeKind::kHalves;
  if (halves && matrix.dtype != DType::kF16) device_.scale = scale_for(largest_weight(matrix, pool));
  const size_t bytes = unit_bytes(device_);
  const int64_t units = num_units(device_);
  const int64_t per_piece = std::max<int64_t>(1, static_cast<int64_t>(kPieceBytes / bytes));
  std::vector<std::byte> piece;
  std::vector<float> largest(static_cast<size_t>(units));
  for (int64_t first = 0; first < units; first += per_piece) {
    const int64_t count = std::min(per_piece, units - first);
    piece.assign(static_cast<size_t>(count) * bytes, std::byte{0});
    pool.parallel_for(count, 1, [&](int64_t begin, int64_t end) {
      for (int64_t unit = begin; unit < end; ++unit) {
        std::byte* to = piece.data() + static_cast<size_t>(unit) * bytes;
        if (halves) {
          pack_halves(matrix, device_, first + unit, reinterpret_cast<uint16_t*>(to));
        } else {
          largest[static_cast<size_t>(first + unit)] = pack_strip(matrix, device_, first + unit, reinterpret_cast<uint8_t*>(to));
        }
      }
    });
    device.write(memory_.data() + static_cast<size_t>(first) * bytes, piece);
  }
  if (!halves) device_.scale = scale_for(*std::max_element(largest.begin(), largest.end()));
}

}  // namespace terrace
