#include "runtime/model/gguf_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <unordered_set>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr uint32_t kMagic = 0x46554747;  // "GGUF"
constexpr uint64_t kMaxElements = uint64_t{1} << 60;  // of a tensor: bytes then fit size_t for every dtype
constexpr uint32_t kMaxDims = 4;
constexpr size_t kMinKeyValueBytes = 8 + 4 + 1;           // length of the key, type, a bool
constexpr size_t kMinTensorBytes = 8 + 4 + 8 + 4 + 8;     // length of the name, dims, one dim, dtype, offset

enum ValueType : uint32_t { kU8, kI8, kU16, kI16, kU32, kI32, kFloat32, kBool, kString, kArray, kU64, kI64, kFloat64 };

static_assert(std::endian::native == std::endian::little, "the reader copies integers as they lie in the file");

/// Reads forward through the file; every step is checked against its end.
class Cursor {
 public:
  Cursor(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  size_t position() const { return position_; }
  size_t remaining() const { return bytes_.size() - position_; }
  const std::string& name() const { return name_; }

  const std::byte* take(uint64_t count, std::string_view what) {
    if (count > remaining()) {
      corrupt(fmt::format("{} needs {} bytes, but the file ends after {} more; is the download complete?", what, count, remaining()));
    }
    const std::byte* at = bytes_.data() + position_;
    position_ += static_cast<size_t>(count);
    return at;
  }

  template <typename T>
  T read(std::string_view what) {
    T value;
    std::memcpy(&value, take(sizeof(T), what), sizeof(T));
    return value;
  }

  std::string_view read_string(std::string_view what) {
    const auto length = read<uint64_t>(what);
    return {reinterpret_cast<const char*>(take(length, what)), static_cast<size_t>(length)};
  }

  /// A count of things that take at least `min_bytes` each: bounds what the caller reserves.
  size_t read_count(std::string_view what, size_t min_bytes) {
    const auto count = read<uint64_t>(what);
    if (count > remaining() / min_bytes) {
      corrupt(fmt::format("{} says {}, more than the remaining {} bytes can hold; is the download complete?", what, count, remaining()));
    }
    return static_cast<size_t>(count);
  }

  [[noreturn]] void corrupt(std::string_view sentence) const { fail(ErrorCode::kModelCorrupt, sentence); }
  [[noreturn]] void unsupported(std::string_view sentence) const { fail(ErrorCode::kModelUnsupported, sentence); }

 private:
  [[noreturn]] void fail(ErrorCode code, std::string_view sentence) const {
    throw Error(code, fmt::format("{}, at byte {}: {}", name_, position_, sentence));
  }

  std::span<const std::byte> bytes_;
  size_t position_ = 0;
  const std::string& name_;
};

// ---- metadata ----

template <typename T>
int64_t widen(const Cursor& in, T value, std::string_view what) {
  if constexpr (std::is_same_v<T, uint64_t>) {
    if (value > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
      in.unsupported(fmt::format("{} is {}, above the range of 64-bit signed integers.", what, value));
    }
  }
  return static_cast<int64_t>(value);
}

template <typename T>
std::vector<int64_t> read_ints(Cursor& in, std::string_view what) {
  std::vector<int64_t> values(in.read_count(what, sizeof(T)));
  for (int64_t& value : values) value = widen(in, in.read<T>(what), what);
  return values;
}

template <typename T>
std::vector<double> read_floats(Cursor& in, std::string_view what) {
  std::vector<double> values(in.read_count(what, sizeof(T)));
  for (double& value : values) value = in.read<T>(what);
  return values;
}

std::vector<std::string_view> read_strings(Cursor& in, std::string_view what) {
  std::vector<std::string_view> values(in.read_count(what, sizeof(uint64_t)));
  for (std::string_view& value : values) value = in.read_string(what);
  return values;
}

bool read_bool(Cursor& in, std::string_view what) {
  const auto value = in.read<uint8_t>(what);
  if (value > 1) in.corrupt(fmt::format("{} is a boolean of value {}.", what, value));
  return value == 1;
}

std::vector<int64_t> read_bools(Cursor& in, std::string_view what) {
  std::vector<int64_t> values(in.read_count(what, 1));
  for (int64_t& value : values) value = read_bool(in, what) ? 1 : 0;
  return values;
}

GgufArray read_array(Cursor& in, std::string_view what) {
  const auto type = in.read<uint32_t>(what);
  switch (type) {
    case kU8: return read_ints<uint8_t>(in, what);
    case kI8: return read_ints<int8_t>(in, what);
    case kU16: return read_ints<uint16_t>(in, what);
    case kI16: return read_ints<int16_t>(in, what);
    case kU32: return read_ints<uint32_t>(in, what);
    case kI32: return read_ints<int32_t>(in, what);
    case kU64: return read_ints<uint64_t>(in, what);
    case kI64: return read_ints<int64_t>(in, what);
    case kFloat32: return read_floats<float>(in, what);
    case kFloat64: return read_floats<double>(in, what);
    case kBool: return read_bools(in, what);
    case kString: return read_strings(in, what);
    case kArray: in.unsupported(fmt::format("{} is an array of arrays, which terrace does not read.", what));
    default: in.corrupt(fmt::format("{} is an array of unknown type {}.", what, type));
  }
}

GgufValue read_value(Cursor& in, std::string_view what) {
  const auto type = in.read<uint32_t>(what);
  switch (type) {
    case kU8: return widen(in, in.read<uint8_t>(what), what);
    case kI8: return widen(in, in.read<int8_t>(what), what);
    case kU16: return widen(in, in.read<uint16_t>(what), what);
    case kI16: return widen(in, in.read<int16_t>(what), what);
    case kU32: return widen(in, in.read<uint32_t>(what), what);
    case kI32: return widen(in, in.read<int32_t>(what), what);
    case kU64: return widen(in, in.read<uint64_t>(what), what);
    case kI64: return widen(in, in.read<int64_t>(what), what);
    case kFloat32: return double{in.read<float>(what)};
    case kFloat64: return in.read<double>(what);
    case kBool: return read_bool(in, what);
    case kString: return in.read_string(what);
    case kArray: return read_array(in, what);
    default: in.corrupt(fmt::format("{} has unknown type {}.", what, type));
  }
}

std::map<std::string_view, GgufValue> read_metadata(Cursor& in, size_t count) {
  std::map<std::string_view, GgufValue> metadata;
  for (size_t i = 0; i < count; ++i) {
    const std::string_view key = in.read_string(fmt::format("the name of metadata key {}", i));
    const std::string what = "key " + quote_for_message(key);
    if (!metadata.emplace(key, read_value(in, what)).second) in.corrupt(what + " is there twice.");
  }
  return metadata;
}

// ---- tensors ----

/// A tensor's entry in the header; `offset` counts from the start of the data section.
struct TensorEntry {
  GgufTensor tensor;
  uint64_t offset = 0;
};

std::vector<int64_t> read_shape(Cursor& in, std::string_view what) {
  const auto num_dims = in.read<uint32_t>(what);
  if (num_dims == 0 || num_dims > kMaxDims) in.corrupt(fmt::format("{} has {} dimensions, 1 to {} are possible.", what, num_dims, kMaxDims));
  std::vector<int64_t> shape(num_dims);
  uint64_t elements = 1;
  for (auto dim = shape.rbegin(); dim != shape.rend(); ++dim) {  // the file writes the fastest dimension first
    const auto size = in.read<uint64_t>(what);
    if (size == 0 || __builtin_mul_overflow(elements, size, &elements) || elements > kMaxElements) {
      in.corrupt(fmt::format("{} has a dimension of {}, which no model has.", what, size));
    }
    *dim = static_cast<int64_t>(size);
  }
  return shape;
}

TensorEntry read_tensor_entry(Cursor& in, size_t index) {
  TensorEntry entry;
  GgufTensor& tensor = entry.tensor;
  tensor.name = in.read_string(fmt::format("the name of tensor {}", index));
  const std::string what = "tensor " + quote_for_message(tensor.name);
  tensor.shape = read_shape(in, what);
  const auto type = in.read<uint32_t>(what);
  const std::optional<DType> dtype = dtype_from_gguf(type);
  if (!dtype) {
    in.unsupported(fmt::format("{} has element type {}, which terrace does not read (it reads F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, "
                               "Q8_0, Q4_K, Q5_K, Q6_K).", what, type));
  }
  tensor.dtype = *dtype;
  const DTypeInfo& info = dtype_info(*dtype);
  if (tensor.cols() % info.block_elements != 0) {
    in.corrupt(fmt::format("{} has rows of {} elements, not a multiple of {}'s blocks of {}.", what, tensor.cols(), info.name, info.block_elements));
  }
  tensor.bytes = dtype_bytes(*dtype, tensor.rows() * tensor.cols());
  entry.offset = in.read<uint64_t>(what);
  return entry;
}

std::vector<TensorEntry> read_tensor_entries(Cursor& in, size_t count) {
  std::vector<TensorEntry> entries;
  entries.reserve(count);
  std::unordered_set<std::string_view> names;
  for (size_t i = 0; i < count; ++i) {
    entries.push_back(read_tensor_entry(in, i));
    const std::string_view name = entries.back().tensor.name;
    if (!names.insert(name).second) in.corrupt(fmt::format("tensor {} is there twice.", quote_for_message(name)));
  }
  return entries;
}

size_t find_alignment(const Cursor& in, const std::map<std::string_view, GgufValue>& metadata) {
  const auto found = metadata.find("general.alignment");
  if (found == metadata.end()) return 32;
  const int64_t* value = std::get_if<int64_t>(&found->second);
  if (value == nullptr || *value < 8 || !std::has_single_bit(static_cast<uint64_t>(*value))) {
    in.corrupt("general.alignment is not a power of two of at least 8.");
  }
  return static_cast<size_t>(*value);
}

/// Two tensors in the same bytes: one of their offsets is wrong.
void check_overlap(const Cursor& in, const std::vector<GgufTensor>& tensors) {
  std::vector<const GgufTensor*> by_address;
  for (const GgufTensor& tensor : tensors) by_address.push_back(&tensor);
  std::sort(by_address.begin(), by_address.end(), [](const GgufTensor* a, const GgufTensor* b) { return a->data < b->data; });
  for (size_t i = 1; i < by_address.size(); ++i) {
    const GgufTensor& before = *by_address[i - 1];
    if (before.data + before.bytes > by_address[i]->data) {
      in.corrupt(fmt::format("tensors {} and {} overlap.", quote_for_message(before.name), quote_for_message(by_address[i]->name)));
    }
  }
}

std::vector<GgufTensor> place_tensors(Cursor& in, std::vector<TensorEntry> entries, size_t alignment) {
  std::vector<GgufTensor> tensors;
  if (entries.empty()) return tensors;  // a vocabulary-only file may end without padding
  in.take((alignment - in.position() % alignment) % alignment, "the padding before the tensor data");
  const size_t data_bytes = in.remaining();
  const std::byte* data = in.take(0, "the tensor data");
  tensors.reserve(entries.size());
  for (TensorEntry& entry : entries) {
    GgufTensor& tensor = entry.tensor;
    const std::string what = "tensor " + quote_for_message(tensor.name);
    if (entry.offset % alignment != 0) in.corrupt(fmt::format("{} begins at offset {}, not a multiple of {}.", what, entry.offset, alignment));
    if (entry.offset > data_bytes || tensor.bytes > data_bytes - entry.offset) {
      in.corrupt(fmt::format("{} needs {} bytes at offset {} of the tensor data, which has {}; is the download complete?", what, tensor.bytes,
                             entry.offset, data_bytes));
    }
    tensor.data = data + entry.offset;
    tensors.push_back(std::move(tensor));
  }
  check_overlap(in, tensors);
  return tensors;
}

void check_version(const Cursor& in, uint32_t version) {
  if (version == 2 || version == 3) return;
  if (version != 0 && (version & 0xffffu) == 0) in.unsupported("this is a big-endian GGUF file; terrace reads little-endian ones.");
  in.unsupported(fmt::format("this is version {} of GGUF; terrace reads versions 2 and 3.", version));
}

}  // namespace

std::string quote_for_message(std::string_view text) {
  constexpr size_t kShown = 80;
  std::string quoted = "\"";
  for (const char c : text.substr(0, kShown)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte >= 0x7f || c == '"') {
      quoted += fmt::format("\\x{:02x}", byte);
    } else {
      quoted += c;
    }
  }
  return quoted + (text.size() > kShown ? "...\"" : "\"");
}

GgufPart parse_gguf(std::span<const std::byte> bytes, const std::string& name) {
  Cursor in(bytes, name);
  if (bytes.size() < 4 || in.read<uint32_t>("the magic") != kMagic) {
    throw Error(ErrorCode::kModelCorrupt, fmt::format("{} is not a GGUF file: it does not begin with \"GGUF\".", name));
  }
  check_version(in, in.read<uint32_t>("the version"));
  const size_t num_tensors = in.read_count("the number of tensors", kMinTensorBytes);
  const size_t num_keys = in.read_count("the number of metadata keys", kMinKeyValueBytes);
  GgufPart part;
  part.metadata = read_metadata(in, num_keys);
  std::vector<TensorEntry> entries = read_tensor_entries(in, num_tensors);
  part.tensors = place_tensors(in, std::move(entries), find_alignment(in, part.metadata));
  return part;
}

}  // namespace terrace
