// Floats as integers of the same order.
#pragma once

#include <cstdint>

namespace terrace {

/// Orders as the numbers do, -0 and 0 alike; NaN is 0, below all.
__device__ __forceinline__ uint32_t order_key(float value) {
  if (value != value) return 0;
  const uint32_t bits = value == 0.0f ? 0u : __float_as_uint(value);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

}  // namespace terrace
