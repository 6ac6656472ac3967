#include "tests/cudasim/nccl/sum_order.h"

namespace cudasim {
namespace {

/// The number in share c of n is summed from rank c + 1 on, around the ring.
float sum_around(std::span<const float* const> parts, size_t i, size_t share) {
  const size_t n = parts.size();
  const size_t first = i / share + 1;
  float sum = parts[first % n][i];
  for (size_t step = 1; step < n; ++step) sum += parts[(first + step) % n][i];
  return sum;
}

float sum_tree(std::span<const float* const> parts, size_t i) {
  if (parts.size() == 1) return parts[0][i];
  const size_t half = (parts.size() + 1) / 2;
  return sum_tree(parts.first(half), i) + sum_tree(parts.subspan(half), i);
}

}  // namespace

void sum_parts(std::span<const float* const> parts, size_t count, uint64_t seed, float* sum) {
  const bool ring = ((seed ^ count) * 0x9E3779B97F4A7C15ull) >> 63 != 0;
  const size_t share = (count + parts.size() - 1) / parts.size();
  for (size_t i = 0; i < count; ++i) sum[i] = ring ? sum_around(parts, i, share) : sum_tree(parts, i);
}

}  // namespace cudasim
