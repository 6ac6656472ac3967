// XXH3-64 of whole pages on the device, the checksum that the CPU makes of them (kernels/cpu/page_copy.h). Launched by CudaPageMover on streams of its own.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <span>

namespace terrace {

struct PageSum {
  const std::byte* page;  // device memory
  uint64_t* sum;          // pinned host memory: written by the kernel, each by one page of a call
};

/// `page_bytes`: a multiple of 4,096.
void launch_page_sums(std::span<const PageSum> pages, size_t page_bytes, cudaStream_t stream);

}  // namespace terrace
