// Rows of pages in another format: 8 bits (KvType::kQ8) from rows of more, and back; bit by bit what the CPU's codec makes of them (kernels/cpu/cpu_page_codec.h).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <span>

#include "kernels/page_layout.h"

namespace terrace {

/// Both in device memory.
struct PageConversion {
  const std::byte* from;
  std::byte* to;
};

/// All rows, K and V, of pages of one layout as those of the other, which differ in their formats alone; F32, F16, BF16 and Q8. Padding is not written.
/// head_dim <= kMostTurnedDims.
void launch_convert_pages(std::span<const PageConversion> pages, const PageLayout& from, const PageLayout& to, cudaStream_t stream);

}  // namespace terrace
