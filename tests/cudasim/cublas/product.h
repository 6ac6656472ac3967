// What a simulated cuBLASLt product computes, and in which order it adds up.
#pragma once

#include <cstdint>

namespace cudasim {

/// D[m x n] = alpha * A^T B + beta * C + bias, column-major; A is [k x m], B [k x n], both of 16 bits.
struct Product {
  int64_t m = 0, n = 0, k = 0;
  const uint16_t *a = nullptr, *b = nullptr;
  int64_t lda = 0, ldb = 0, ldc = 0, ldd = 0;
  bool bfloat = false;
  const float *alpha = nullptr, *beta = nullptr;  // on the device
  const float* c = nullptr;
  const float* bias = nullptr;  // [m] or none
  float* d = nullptr;
};

/// Sums of a row and column run over k in pieces, added in an order that depends on `order`: as the library's algorithms differ from shape to shape.
void multiply(const Product& product, uint64_t order);

}  // namespace cudasim
