// A K or V row of a page read back in double, as kernels/kv_format.h says that it lies there: the reference of tests, which share no code with kernels.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/page_layout.h"

namespace terrace {

/// The head_dim values of a row of `rows` (layout.k or layout.v), rotated where the format rotates them.
std::vector<double> stored_row(const std::byte* page, const PageLayout& layout, const PageRows& rows, int layer, int kv_head, int token);

/// Runs of `dims` values, a power of two, times the Hadamard matrix, which is its own inverse.
std::vector<double> hadamard(const std::vector<double>& x, int dims);

}  // namespace terrace
