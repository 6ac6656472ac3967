// A page's stamp: what its bytes and its key are together, so that neither a flipped bit nor a swapped frame goes unnoticed. Pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/cache/page.h"

namespace terrace {

/// XXH3-64, as a page mover makes it.
uint64_t page_checksum(std::span<const std::byte> page);

/// `checksum`: of the page's bytes.
uint64_t page_stamp(uint64_t checksum, const PageKey& key);

}  // namespace terrace
