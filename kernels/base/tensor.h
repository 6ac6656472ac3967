// Views and owned memory that ops take. A view never owns; Buffer owns one aligned allocation of a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/base/dtype.h"

namespace terrace {

/// A dense row-major matrix of floats in backend memory; rows may be further apart than they are long.
struct MatrixView {
  float* data = nullptr;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t stride = 0;  // floats from one row to the next, >= cols

  float* row(int64_t index) const { return data + index * stride; }
  /// The first `count` rows.
  MatrixView top(int64_t count) const { return {data, count, cols, stride}; }
  /// Columns [begin, begin + count) of every row.
  MatrixView columns(int64_t begin, int64_t count) const { return {data + begin, rows, count, stride}; }
};

/// A weight matrix as it lies in the model file: `rows` output features of `cols` inputs in whole quantisation blocks. May be a
/// column slice: `first_col` is then a multiple of 32 (Q6_K: 16; plain floats: any), also inside a 256-element super-block.
struct HostMatrix {
  DType dtype = DType::kF32;
  int64_t rows = 0;
  int64_t cols = 0;       // of the slice
  int64_t first_col = 0;  // of the slice, in elements from the row's start
  const std::byte* data = nullptr;  // row 0, column 0 of the whole rows
  size_t row_bytes = 0;             // from one row to the next
};

/// Memory of one backend. Aligned to 4,096 bytes (on a device: 256), zero-filled.
class Buffer {
 public:
  Buffer() : data_(nullptr, Release{nullptr, 0}) {}
  Buffer(std::byte* data, size_t bytes, void (*release)(std::byte*, size_t)) : data_(data, Release{release, bytes}), bytes_(bytes) {}
  std::byte* data() const { return data_.get(); }
  size_t bytes() const { return bytes_; }

 private:
  struct Release {
    void (*release)(std::byte*, size_t);
    size_t bytes;
    void operator()(std::byte* data) const {
      if (release != nullptr) release(data, bytes);
    }
  };
  std::unique_ptr<std::byte, Release> data_;
  size_t bytes_ = 0;
};

}  // namespace terrace
