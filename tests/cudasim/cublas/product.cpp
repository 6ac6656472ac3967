#include "tests/cudasim/cublas/product.h"

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cstring>
#include <vector>

namespace cudasim {
namespace {

constexpr int64_t kLanes = 8;  // partial sums of a piece, so that the compiler may use vectors

float to_float(uint16_t bits, bool bfloat) {
  if (bfloat) {
    const uint32_t wide = uint32_t{bits} << 16;
    float value;
    std::memcpy(&value, &wide, sizeof value);
    return value;
  }
  __half_raw raw;
  raw.x = bits;
  return __half2float(__half(raw));
}

std::vector<float> widen(const uint16_t* matrix, int64_t rows, int64_t cols, int64_t stride, bool bfloat) {
  std::vector<float> wide(static_cast<size_t>(rows * cols));
  for (int64_t col = 0; col < cols; ++col) {
    for (int64_t row = 0; row < rows; ++row) wide[static_cast<size_t>(col * rows + row)] = to_float(matrix[col * stride + row], bfloat);
  }
  return wide;
}

float dot(const float* a, const float* b, int64_t begin, int64_t end) {
  float lanes[kLanes] = {};
  int64_t i = begin;
  for (; i + kLanes <= end; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  float sum = 0;
  for (; i < end; ++i) sum += a[i] * b[i];
  for (const float lane : lanes) sum += lane;
  return sum;
}

}  // namespace

void multiply(const Product& p, uint64_t order) {
  const std::vector<float> a = widen(p.a, p.k, p.m, p.lda, p.bfloat);
  const std::vector<float> b = widen(p.b, p.k, p.n, p.ldb, p.bfloat);
  const int64_t pieces = 1 + static_cast<int64_t>(order % 4);  // above 1: split-K
  const int64_t length = std::max<int64_t>(16, (p.k / pieces + 15) / 16 * 16);
  const bool backwards = (order >> 8 & 1) != 0;
  for (int64_t col = 0; col < p.n; ++col) {
    for (int64_t row = 0; row < p.m; ++row) {
      float sum = 0;
      for (int64_t piece = 0; piece * length < p.k; ++piece) {
        const int64_t last = (p.k - 1) / length;
        const int64_t begin = (backwards ? last - piece : piece) * length;
        sum += dot(&a[static_cast<size_t>(row * p.k)], &b[static_cast<size_t>(col * p.k)], begin, std::min(p.k, begin + length));
      }
      float value = *p.alpha * sum;
      if (*p.beta != 0) value += *p.beta * p.c[col * p.ldc + row];
      if (p.bias != nullptr) value += p.bias[row];
      p.d[col * p.ldd + row] = value;
    }
  }
}

}  // namespace cudasim
