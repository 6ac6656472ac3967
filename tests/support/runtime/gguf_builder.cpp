#include "tests/support/runtime/gguf_builder.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace terrace {
namespace {

template <typename T>
std::string raw(T value) {
  return {reinterpret_cast<const char*>(&value), sizeof(T)};
}

std::string raw_string(std::string_view text) { return raw<uint64_t>(text.size()).append(text); }

template <typename T>
std::string raw_array(uint32_t type, const std::vector<T>& values) {
  std::string bytes = raw(type) + raw<uint64_t>(values.size());
  for (const T& value : values) bytes += raw(value);
  return bytes;
}

}  // namespace

GgufBuilder& GgufBuilder::add_raw(std::string_view key, uint32_t type, std::string_view payload) {
  keys_ += raw_string(key) + raw(type);
  keys_ += payload;
  ++num_keys_;
  return *this;
}

GgufBuilder& GgufBuilder::add_u32(std::string_view key, uint32_t value) { return add_raw(key, 4, raw(value)); }
GgufBuilder& GgufBuilder::add_i32(std::string_view key, int32_t value) { return add_raw(key, 5, raw(value)); }
GgufBuilder& GgufBuilder::add_f32(std::string_view key, float value) { return add_raw(key, 6, raw(value)); }
GgufBuilder& GgufBuilder::add_bool(std::string_view key, bool value) { return add_raw(key, 7, raw(value)); }
GgufBuilder& GgufBuilder::add_string(std::string_view key, std::string_view value) { return add_raw(key, 8, raw_string(value)); }
GgufBuilder& GgufBuilder::add_u64(std::string_view key, uint64_t value) { return add_raw(key, 10, raw(value)); }

GgufBuilder& GgufBuilder::add_strings(std::string_view key, const std::vector<std::string>& values) {
  std::string payload = raw<uint32_t>(8) + raw<uint64_t>(values.size());
  for (const std::string& value : values) payload += raw_string(value);
  return add_raw(key, 9, payload);
}

GgufBuilder& GgufBuilder::add_i32s(std::string_view key, const std::vector<int32_t>& values) {
  return add_raw(key, 9, raw_array(5, values));
}

GgufBuilder& GgufBuilder::add_f32s(std::string_view key, const std::vector<float>& values) {
  return add_raw(key, 9, raw_array(6, values));
}

GgufBuilder& GgufBuilder::add_tensor(std::string_view name, DType dtype, const std::vector<int64_t>& shape, std::string data) {
  int64_t elements = 1;
  for (const int64_t dim : shape) elements *= dim;
  if (data.size() != dtype_bytes(dtype, elements)) throw std::logic_error("GgufBuilder: shape and data of a tensor differ");
  add_tensor_entry(name, static_cast<uint32_t>(dtype), {shape.rbegin(), shape.rend()}, data_.size());
  data_ = align(data_ + data);
  return *this;
}

GgufBuilder& GgufBuilder::add_f32_tensor(std::string_view name, const std::vector<int64_t>& shape, const std::vector<float>& values) {
  return add_tensor(name, DType::kF32, shape, {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)});
}

GgufBuilder& GgufBuilder::add_tensor_entry(std::string_view name, uint32_t type, const std::vector<uint64_t>& dims, uint64_t offset) {
  entries_ += raw_string(name) + raw(static_cast<uint32_t>(dims.size()));
  for (const uint64_t dim : dims) entries_ += raw(dim);
  entries_ += raw(type) + raw(offset);
  ++num_tensors_;
  return *this;
}

std::string GgufBuilder::align(std::string bytes) const {
  bytes.resize((bytes.size() + alignment - 1) / alignment * alignment);
  return bytes;
}

std::string GgufBuilder::build() const {
  return align("GGUF" + raw(version) + raw(num_tensors_) + raw(num_keys_) + keys_ + entries_) + data_;
}

TemporaryFolder::TemporaryFolder() {
  std::string name = (std::filesystem::temp_directory_path() / "terrace-test-XXXXXX").string();
  if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make a temporary folder");
  path_ = name;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(std::string_view name, std::string_view bytes) const {
  const std::string path = path_ + "/" + std::string(name);
  std::ofstream(path, std::ios::binary) << bytes;
  return path;
}

}  // namespace terrace
