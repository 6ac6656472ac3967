// A GGUF v2/v3 model file (or all parts of a split one), memory-mapped and checked: metadata by key, tensors by name.
// Every length, offset and count of the file is checked against its size before use; a damaged file is an Error(kModelCorrupt)
// that names the file, the place and the key or tensor. Immutable after open(): any thread. Does not interpret what it holds.
// Source of the format: ggml-org/ggml, docs/gguf.md.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "kernels/base/dtype.h"

namespace terrace {

/// Integers of every width are widened to int64 (uint64 values above its range are refused), floats to double. Strings point into the map.
using GgufArray = std::variant<std::vector<int64_t>, std::vector<double>, std::vector<std::string_view>>;
using GgufValue = std::variant<bool, int64_t, double, std::string_view, GgufArray>;

struct GgufTensor {
  std::string_view name;
  DType dtype = DType::kF32;
  std::vector<int64_t> shape;  // slowest first: [rows, cols] for a matrix (GGUF writes them fastest first)
  const std::byte* data = nullptr;
  size_t bytes = 0;

  int64_t cols() const { return shape.back(); }
  int64_t rows() const;  // product of all but the last
  size_t row_bytes() const { return dtype_bytes(dtype, cols()); }
};

class GgufFile {
 public:
  /// Opens `path`; where it is part of a split model (split.count > 1), all parts beside it. A vocabulary-only file has no tensors.
  static GgufFile open(const std::string& path);
  /// The same from memory that outlives the result (tests, fuzzing); no splits.
  static GgufFile parse(std::span<const std::byte> bytes, std::string name);
  GgufFile(GgufFile&&) noexcept;
  GgufFile& operator=(GgufFile&&) noexcept;
  ~GgufFile();

  const std::string& path() const;
  size_t file_bytes() const;
  const std::map<std::string_view, GgufValue>& metadata() const;
  const std::vector<GgufTensor>& tensors() const;  // in file order, of all parts
  const GgufTensor* find_tensor(std::string_view name) const;

  // A key that is there with another type is Error(kModelCorrupt). get_* of a missing key too, naming it.
  std::optional<int64_t> find_int(std::string_view key) const;
  std::optional<double> find_float(std::string_view key) const;  // an integer is taken as well
  std::optional<bool> find_bool(std::string_view key) const;
  std::optional<std::string_view> find_string(std::string_view key) const;
  const std::vector<int64_t>* find_ints(std::string_view key) const;
  const std::vector<double>* find_floats(std::string_view key) const;
  const std::vector<std::string_view>* find_strings(std::string_view key) const;
  int64_t get_int(std::string_view key) const;
  std::string_view get_string(std::string_view key) const;

 private:
  struct Impl;
  explicit GgufFile(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
