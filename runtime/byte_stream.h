// Little-endian writing and bounds-checked reading of the flat messages between ranks. A message that ends early or claims more than it
// holds is Error(kPlanMismatch): the decoders of step_plan and step_report are fuzzed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/control.h"
#include "kernels/base/error.h"

namespace terrace {

class ByteWriter {
 public:
  template <typename T>
  void put(const T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    const auto* bytes = reinterpret_cast<const std::byte*>(&value);
    bytes_.insert(bytes_.end(), bytes, bytes + sizeof(T));
  }
  /// Count (u64), elements, padding to 8 bytes.
  template <typename T>
  void put_array(std::span<const T> values) {
    static_assert(std::is_trivially_copyable_v<T>);
    put(static_cast<uint64_t>(values.size()));
    const auto* bytes = reinterpret_cast<const std::byte*>(values.data());
    bytes_.insert(bytes_.end(), bytes, bytes + values.size_bytes());
    bytes_.resize((bytes_.size() + 7) / 8 * 8);
  }
  Bytes take() { return std::move(bytes_); }

 private:
  Bytes bytes_;
};

class ByteReader {
 public:
  ByteReader(std::span<const std::byte> bytes, const char* what) : bytes_(bytes), what_(what) {}

  template <typename T>
  T get() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }
  template <typename T>
  std::vector<T> get_array() {
    const auto count = get<uint64_t>();
    if (count > (bytes_.size() - offset_) / sizeof(T)) fail();
    std::vector<T> values(count);
    if (count > 0) std::memcpy(values.data(), take(count * sizeof(T)).data(), count * sizeof(T));
    take((8 - offset_ % 8) % 8);
    return values;
  }
  bool at_end() const { return offset_ == bytes_.size(); }
  [[noreturn]] void fail() const {
    throw Error(ErrorCode::kPlanMismatch, std::string("a damaged ") + what_ + " was received (byte " + std::to_string(offset_) + " of " +
                                              std::to_string(bytes_.size()) + "): all ranks must run the same build");
  }

 private:
  std::span<const std::byte> take(size_t count) {
    if (count > bytes_.size() - offset_) fail();
    offset_ += count;
    return bytes_.subspan(offset_ - count, count);
  }

  std::span<const std::byte> bytes_;
  const char* what_;
  size_t offset_ = 0;
};

}  // namespace terrace
