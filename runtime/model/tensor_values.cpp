#include "runtime/model/tensor_values.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/half.h"
#include "runtime/model/gguf_reader.h"

namespace terrace {
namespace {

template <typename T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof(T));
  return value;
}

float load_float(DType dtype, const std::byte* at) {
  if (dtype == DType::kF16) return f16_to_float(load<uint16_t>(at));
  if (dtype == DType::kBF16) return bf16_to_float(load<uint16_t>(at));
  return load<float>(at);
}

/// Where the floats of a block lie: its scale and perhaps its min, or the element itself.
struct BlockFloats {
  size_t first = 0;        // byte in the block
  int count = 1;           // neighbours
  uint32_t exponent = 0;   // mask; all ones: infinite or no number
  size_t bytes = 2;        // of each
};

BlockFloats block_floats(DType dtype) {
  constexpr uint32_t kF16Exponent = 0x7c00;
  switch (dtype) {
    case DType::kF32: return {0, 1, 0x7f800000, 4};
    case DType::kBF16: return {0, 1, 0x7f80, 2};
    case DType::kF16:
    case DType::kQ4_0:
    case DType::kQ5_0:
    case DType::kQ8_0: return {0, 1, kF16Exponent, 2};
    case DType::kQ4_1:
    case DType::kQ5_1:
    case DType::kQ4_K:
    case DType::kQ5_K: return {0, 2, kF16Exponent, 2};
    case DType::kQ6_K: return {208, 1, kF16Exponent, 2};
  }
  throw Error(ErrorCode::kInternal, "block_floats of an unknown dtype");
}

bool is_finite(const BlockFloats& floats, const std::byte* block) {
  bool finite = true;
  for (int i = 0; i < floats.count; ++i) {
    const std::byte* at = block + floats.first + static_cast<size_t>(i) * floats.bytes;
    const uint32_t bits = floats.bytes == 4 ? load<uint32_t>(at) : load<uint16_t>(at);
    finite &= (bits & floats.exponent) != floats.exponent;
  }
  return finite;
}

}  // namespace

void check_finite(const GgufFile& file, const GgufTensor& tensor, Range rows, Range cols) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  const BlockFloats floats = block_floats(tensor.dtype);
  const size_t row_bytes = tensor.row_bytes();
  const auto first_block = static_cast<size_t>(cols.begin) / info.block_elements;
  const auto end_block = (static_cast<size_t>(cols.end) + info.block_elements - 1) / info.block_elements;
  for (int32_t row = rows.begin; row < rows.end; ++row) {
    const std::byte* data = tensor.data + static_cast<size_t>(row) * row_bytes;
    bool finite = true;
    for (size_t block = first_block; block < end_block; ++block) finite &= is_finite(floats, data + block * info.block_bytes);
    if (finite) continue;
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: row {} of tensor {} ({}) holds {} that is no finite number; the file is damaged.", file.path(),
                                                      row, quote_for_message(tensor.name), info.name,
                                                      info.block_elements == 1 ? "a value" : "a block with a scale"));
  }
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t dim : shape) text += fmt::format("{}{}", text.size() > 1 ? ", " : "", dim);
  return text + "]";
}

const GgufTensor& get_tensor(const GgufFile& file, std::string_view name, const std::vector<int64_t>& shape) {
  const GgufTensor* tensor = file.find_tensor(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::kModelCorrupt,
                fmt::format("{} lacks tensor {} of shape {}{}.", file.path(), quote_for_message(name), shape_text(shape),
                            file.tensors().empty() ? "; it holds only a vocabulary, no weights" : ""));
  }
  if (tensor->shape != shape) {
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: tensor {} has shape {}, but the model's metadata ask for {}.", file.path(),
                                                      quote_for_message(name), shape_text(tensor->shape), shape_text(shape)));
  }
  return *tensor;
}

std::vector<float> read_values(const GgufFile& file, const GgufTensor& tensor, int64_t begin, int64_t count) {
  const DTypeInfo& info = dtype_info(tensor.dtype);
  if (info.block_elements != 1) {
    throw Error(ErrorCode::kModelUnsupported, fmt::format("{}: tensor {} is {}; terrace reads norms, biases and rope factors as F32, F16 or BF16.",
                                                          file.path(), quote_for_message(tensor.name), info.name));
  }
  std::vector<float> values(static_cast<size_t>(count));
  const std::byte* at = tensor.data + dtype_bytes(tensor.dtype, begin);
  for (float& value : values) {
    value = load_float(tensor.dtype, at);
    at += info.block_bytes;
    if (!std::isfinite(value)) {
      throw Error(ErrorCode::kModelCorrupt,
                  fmt::format("{}: tensor {} holds a value that is no finite number.", file.path(), quote_for_message(tensor.name)));
    }
  }
  return values;
}

}  // namespace terrace
