// A page copied past the caches, its checksum made in the same pass: together they cost about what memcpy does (docs/decisions.md).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/isa.h"

namespace terrace {

/// Copies `bytes` (a multiple of 64; both ends aligned to 16) and returns XXH3-64 of what it read. Equal results on every ISA.
using CopyPage = uint64_t (*)(std::byte* to, const std::byte* from, size_t bytes);

uint64_t copy_page_scalar(std::byte* to, const std::byte* from, size_t bytes);
uint64_t copy_page_avx2(std::byte* to, const std::byte* from, size_t bytes);

inline CopyPage choose_copy_page(Isa isa) { return isa >= Isa::kAvx2 ? copy_page_avx2 : copy_page_scalar; }

}  // namespace terrace
