// Sums of the ranks' parts, in rank order. Pure; the processor's widest vectors, which change no bit of a sum.
#pragma once

#include <cstddef>
#include <span>

namespace terrace {

/// sum[i] = parts[0][begin + i] + parts[1][begin + i] + ..., for i in [0, count). Two parts at least; `sum` overlaps none of them.
void sum_parts(std::span<float* const> parts, size_t begin, size_t count, float* sum);

/// What sum_parts() is on a processor without AVX2.
void sum_parts_plain(std::span<float* const> parts, size_t begin, size_t count, float* sum);

/// The same for [begin, end), written to that place of all `outs`, which may be parts.
void sum_parts_in_place(std::span<float* const> parts, size_t begin, size_t end, std::span<float* const> outs);

}  // namespace terrace
