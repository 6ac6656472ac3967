// The orders in which NCCL may add up: all ranks see the same bits, but which order depends on the message's length and on the place of a number in it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace cudasim {

/// sum[i] = parts[0][i] + parts[1][i] + ..., by a ring or a tree as `seed` and the count decide.
void sum_parts(std::span<const float* const> parts, size_t count, uint64_t seed, float* sum);

}  // namespace cudasim
