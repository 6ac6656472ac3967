#include "tests/support/kernels/stored_row.h"

#include <bit>
#include <cmath>
#include <cstring>

#include "kernels/base/half.h"

namespace terrace {
namespace {

template <class T>
T read(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

double q4_value(const std::byte* row, const std::byte* scales, size_t d) {
  const auto both = std::to_integer<unsigned>(row[d / 32 * 16 + d % 16]);
  const unsigned code = d % 32 < 16 ? both & 15 : both >> 4;
  return kQ4Levels[code] / 128.0 * f16_to_float(read<uint16_t>(scales + d / 16 * 2));
}

}  // namespace

std::vector<double> stored_row(const std::byte* page, const PageLayout& layout, const PageRows& rows, int layer, int kv_head, int token) {
  const std::byte* row = page + layout.row_offset(rows, layer, kv_head, token);
  const std::byte* scales = page + layout.scale_offset(rows, layer, kv_head, token);
  std::vector<double> values(static_cast<size_t>(layout.head_dim));
  for (size_t d = 0; d < values.size(); ++d) {
    switch (rows.type) {
      case KvType::kF32: values[d] = read<float>(row + 4 * d); break;
      case KvType::kF16: values[d] = f16_to_float(read<uint16_t>(row + 2 * d)); break;
      case KvType::kBF16: values[d] = bf16_to_float(read<uint16_t>(row + 2 * d)); break;
      case KvType::kF8: values[d] = f8_to_float(read<uint8_t>(row + d)); break;
      case KvType::kQ8: values[d] = static_cast<double>(read<int8_t>(row + d)) * read<float>(scales); break;
      case KvType::kQ4: values[d] = q4_value(row, scales, d); break;
    }
  }
  return values;
}

std::vector<double> hadamard(const std::vector<double>& x, int dims) {
  const auto size = static_cast<size_t>(dims);
  std::vector<double> result(x.size());
  for (size_t d = 0; d < x.size(); ++d) {
    double sum = 0;
    for (size_t i = 0; i < size; ++i) sum += (std::popcount(i & d % size) % 2 == 0 ? 1 : -1) * x[d / size * size + i];
    result[d] = sum / std::sqrt(static_cast<double>(dims));
  }
  return result;
}

}  // namespace terrace
