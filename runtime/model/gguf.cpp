#include "runtime/model/gguf.h"

#include <fmt/format.h>

#include <unordered_map>

#include "kernels/base/error.h"
#include "runtime/model/gguf_reader.h"
#include "runtime/model/mapped_file.h"

namespace terrace {

int64_t GgufTensor::rows() const {
  int64_t product = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) product *= shape[i];
  return product;
}

struct GgufFile::Impl {
  std::string path;
  size_t file_bytes = 0;
  std::vector<MappedFile> maps;  // of all parts; empty for parse()
  std::map<std::string_view, GgufValue> metadata;  // of the first part
  std::vector<GgufTensor> tensors;
  std::unordered_map<std::string_view, size_t> tensor_index;

  void add_tensors(std::vector<GgufTensor> more) {
    for (GgufTensor& tensor : more) {
      if (!tensor_index.emplace(tensor.name, tensors.size()).second) {
        throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: tensor {} is in two parts.", path, quote_for_message(tensor.name)));
      }
      tensors.push_back(std::move(tensor));
    }
  }

  template <typename T>
  const T* find(std::string_view key, std::string_view type_name) const {
    const auto found = metadata.find(key);
    if (found == metadata.end()) return nullptr;
    if (const T* value = std::get_if<T>(&found->second)) return value;
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: key {} should be {}, but has another type.", path, key, type_name));
  }

  template <typename T>
  const std::vector<T>* find_array(std::string_view key, std::string_view type_name) const {
    const GgufArray* array = find<GgufArray>(key, type_name);
    if (array == nullptr) return nullptr;
    if (const auto* values = std::get_if<std::vector<T>>(array)) return values;
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: key {} should be {}, but has another type.", path, key, type_name));
  }
};

namespace {

int64_t int_or(const std::map<std::string_view, GgufValue>& metadata, std::string_view key, int64_t otherwise) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) return otherwise;
  const int64_t* value = std::get_if<int64_t>(&found->second);
  return value != nullptr ? *value : -1;
}

/// Names of all parts of the split model that `path` is a part of: STEM-00001-of-00003.gguf.
std::vector<std::string> split_paths(const std::string& path, int64_t part, int64_t count) {
  const auto suffix = [count](int64_t number) { return fmt::format("-{:05}-of-{:05}.gguf", number + 1, count); };
  if (part < 0 || part >= count || count > 99999 || !path.ends_with(suffix(part))) {
    throw Error(ErrorCode::kModelCorrupt,
                fmt::format("{} says that it is part {} of a model split in {}; its name should then end in {}.", path, part + 1, count,
                            quote_for_message(suffix(part))));
  }
  const std::string stem = path.substr(0, path.size() - suffix(part).size());
  std::vector<std::string> paths;
  for (int64_t i = 0; i < count; ++i) paths.push_back(stem + suffix(i));
  return paths;
}

void check_split(const GgufPart& part, const std::string& path, int64_t number, int64_t count) {
  if (int_or(part.metadata, "split.count", -1) == count && int_or(part.metadata, "split.no", -1) == number) return;
  throw Error(ErrorCode::kModelCorrupt, fmt::format("{} should be part {} of {}, but its split.no and split.count say otherwise; the parts "
                                                    "belong to different models.", path, number + 1, count));
}

}  // namespace

GgufFile GgufFile::open(const std::string& path) {
  auto impl = std::make_unique<Impl>();
  impl->path = path;
  MappedFile first = MappedFile::open(path);
  GgufPart part = parse_gguf(first.bytes(), path);
  const int64_t count = int_or(part.metadata, "split.count", 0);
  if (count == 0 || count == 1) {
    impl->file_bytes = first.bytes().size();
    impl->maps.push_back(std::move(first));
    impl->metadata = std::move(part.metadata);
    impl->add_tensors(std::move(part.tensors));
    return GgufFile(std::move(impl));
  }
  const std::vector<std::string> paths = split_paths(path, int_or(part.metadata, "split.no", -1), count);
  impl->path = paths.front();
  for (size_t i = 0; i < paths.size(); ++i) {
    const MappedFile& map = impl->maps.emplace_back(MappedFile::open(paths[i]));
    part = parse_gguf(map.bytes(), paths[i]);
    check_split(part, paths[i], static_cast<int64_t>(i), count);
    if (i == 0) impl->metadata = std::move(part.metadata);
    impl->file_bytes += map.bytes().size();
    impl->add_tensors(std::move(part.tensors));
  }
  const auto num_tensors = static_cast<int64_t>(impl->tensors.size());
  if (const int64_t expected = int_or(impl->metadata, "split.tensors.count", num_tensors); expected != num_tensors) {
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{}: split.tensors.count is {}, but the {} parts hold {} tensors.", impl->path, expected,
                                                      count, num_tensors));
  }
  return GgufFile(std::move(impl));
}

GgufFile GgufFile::parse(std::span<const std::byte> bytes, std::string name) {
  auto impl = std::make_unique<Impl>();
  impl->path = std::move(name);
  impl->file_bytes = bytes.size();
  GgufPart part = parse_gguf(bytes, impl->path);
  impl->metadata = std::move(part.metadata);
  impl->add_tensors(std::move(part.tensors));
  return GgufFile(std::move(impl));
}

GgufFile::GgufFile(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
GgufFile::GgufFile(GgufFile&&) noexcept = default;
GgufFile& GgufFile::operator=(GgufFile&&) noexcept = default;
GgufFile::~GgufFile() = default;

const std::string& GgufFile::path() const { return impl_->path; }
size_t GgufFile::file_bytes() const { return impl_->file_bytes; }
const std::map<std::string_view, GgufValue>& GgufFile::metadata() const { return impl_->metadata; }
const std::vector<GgufTensor>& GgufFile::tensors() const { return impl_->tensors; }

const GgufTensor* GgufFile::find_tensor(std::string_view name) const {
  const auto found = impl_->tensor_index.find(name);
  return found == impl_->tensor_index.end() ? nullptr : &impl_->tensors[found->second];
}

std::optional<int64_t> GgufFile::find_int(std::string_view key) const {
  const int64_t* value = impl_->find<int64_t>(key, "an integer");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<double> GgufFile::find_float(std::string_view key) const {
  const auto found = impl_->metadata.find(key);
  if (found != impl_->metadata.end() && std::holds_alternative<int64_t>(found->second)) {
    return static_cast<double>(std::get<int64_t>(found->second));
  }
  const double* value = impl_->find<double>(key, "a number");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<bool> GgufFile::find_bool(std::string_view key) const {
  const bool* value = impl_->find<bool>(key, "a boolean");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

std::optional<std::string_view> GgufFile::find_string(std::string_view key) const {
  const std::string_view* value = impl_->find<std::string_view>(key, "a string");
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

const std::vector<int64_t>* GgufFile::find_ints(std::string_view key) const {
  return impl_->find_array<int64_t>(key, "an array of integers");
}

const std::vector<double>* GgufFile::find_floats(std::string_view key) const {
  return impl_->find_array<double>(key, "an array of floats");
}

const std::vector<std::string_view>* GgufFile::find_strings(std::string_view key) const {
  return impl_->find_array<std::string_view>(key, "an array of strings");
}

int64_t GgufFile::get_int(std::string_view key) const {
  if (const std::optional<int64_t> value = find_int(key)) return *value;
  throw Error(ErrorCode::kModelCorrupt, fmt::format("{} lacks the key {}.", impl_->path, key));
}

std::string_view GgufFile::get_string(std::string_view key) const {
  if (const std::optional<std::string_view> value = find_string(key)) return *value;
  throw Error(ErrorCode::kModelCorrupt, fmt::format("{} lacks the key {}.", impl_->path, key));
}

}  // namespace terrace
