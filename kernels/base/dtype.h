// Element types of tensors and the byte layout of the quantisation blocks that hold them.
// Layouts and ids as in the GGUF specification (ggml-org/ggml, docs/gguf.md).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace terrace {

/// Values are GGUF's ggml_type ids, so that a file's id converts without a table.
enum class DType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;
  uint32_t block_elements;  // elements of one quantisation block; 1 for plain floats
  uint32_t block_bytes;
};

/// Every dtype terrace reads.
const DTypeInfo& dtype_info(DType dtype);
/// nullopt for an id terrace does not read.
std::optional<DType> dtype_from_gguf(uint32_t id);
/// By name as the config writes it ("F16", "q4_1": case-insensitive).
std::optional<DType> dtype_from_name(std::string_view name);

/// Bytes of `elements` consecutive elements; `elements` is a multiple of the block.
inline size_t dtype_bytes(DType dtype, int64_t elements) {
  const DTypeInfo& info = dtype_info(dtype);
  return static_cast<size_t>(elements) / info.block_elements * info.block_bytes;
}

}  // namespace terrace
