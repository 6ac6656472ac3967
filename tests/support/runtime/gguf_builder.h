// Writes small GGUF files in memory for tests: keys and tensors in the order of the calls. The knobs write wrong files too.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/base/dtype.h"

namespace terrace {

class GgufBuilder {
 public:
  uint32_t version = 3;
  uint64_t alignment = 32;  // another one than 32 needs the key general.alignment as well

  GgufBuilder& add_u32(std::string_view key, uint32_t value);
  GgufBuilder& add_u64(std::string_view key, uint64_t value);
  GgufBuilder& add_i32(std::string_view key, int32_t value);
  GgufBuilder& add_f32(std::string_view key, float value);
  GgufBuilder& add_bool(std::string_view key, bool value);
  GgufBuilder& add_string(std::string_view key, std::string_view value);
  GgufBuilder& add_strings(std::string_view key, const std::vector<std::string>& values);
  GgufBuilder& add_i32s(std::string_view key, const std::vector<int32_t>& values);
  GgufBuilder& add_f32s(std::string_view key, const std::vector<float>& values);
  /// Any type: `payload` is what follows the type id.
  GgufBuilder& add_raw(std::string_view key, uint32_t type, std::string_view payload);

  /// `shape` slowest first, as GgufTensor has it; `data` of dtype_bytes bytes.
  GgufBuilder& add_tensor(std::string_view name, DType dtype, const std::vector<int64_t>& shape, std::string data);
  GgufBuilder& add_f32_tensor(std::string_view name, const std::vector<int64_t>& shape, const std::vector<float>& values);
  /// The same with every field of its header entry free: `dims` fastest first.
  GgufBuilder& add_tensor_entry(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset);

  std::string build() const;

 private:
  std::string align(std::string bytes) const;

  std::string keys_;
  uint64_t num_keys_ = 0;
  std::string entries_;
  uint64_t num_tensors_ = 0;
  std::string data_;
};

/// A folder of its own under TMPDIR, removed with all it holds.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return path_; }
  /// Writes `bytes` to a file of this name; returns its path.
  std::string write(std::string_view name, std::string_view bytes) const;

 private:
  std::string path_;
};

}  // namespace terrace
