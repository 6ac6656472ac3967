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

}  // namespace

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
