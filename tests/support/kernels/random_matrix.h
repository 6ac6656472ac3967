// Matrices in backend memory for op tests, and seeded random numbers to fill them.
#pragma once

#include <cstring>
#include <random>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace terrace {

class TestMatrix {
 public:
  /// Zeros. `padding`: floats between rows.
  TestMatrix(Backend& backend, int64_t rows, int64_t cols, int64_t padding = 0)
      : backend_(&backend),
        buffer_(backend.allocate(static_cast<size_t>(rows * (cols + padding)) * sizeof(float) + 1)),
        view_{reinterpret_cast<float*>(buffer_.data()), rows, cols, cols + padding} {}

  MatrixView view() const { return view_; }
  /// Dense values.
  void set(const std::vector<float>& values) {
    for (int64_t i = 0; i < view_.rows; ++i) {
      backend_->write(view_.row(i), std::as_bytes(std::span(values).subspan(static_cast<size_t>(i * view_.cols), static_cast<size_t>(view_.cols))));
    }
  }
  std::vector<float> get(Backend& backend) const {
    std::vector<float> values(static_cast<size_t>(view_.rows * view_.cols));
    backend.download(view_, values.data());
    return values;
  }

 private:
  Backend* backend_;
  Buffer buffer_;
  MatrixView view_;
};

inline std::vector<float> random_floats(uint64_t seed, int64_t count, float deviation = 1.0f) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(generator);
  return values;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

}  // namespace terrace
