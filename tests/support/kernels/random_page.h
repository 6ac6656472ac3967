// Pages of random rows in any format.
#pragma once

#include <cstddef>

#include "kernels/page_layout.h"

namespace terrace {

/// Rows of normal numbers, each of a size of its own, by the CPU's scalar ops. Padding is not written.
void fill_random_rows(const PageLayout& layout, unsigned seed, std::byte* page);

}  // namespace terrace
