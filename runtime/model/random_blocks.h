// Random weights in any tensor format, cheap and reproducible: a quantisation block depends on its key alone. Pure, any thread.
// Not for sampling or secrets.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"

namespace terrace {

/// A key for the tensor of this name; a row's key is mixed from it with the row's number.
uint64_t random_key(const char* name, size_t length);

/// Writes blocks [first_block, first_block + num_blocks) of row `row` (a plain float counts as a block of one) of the tensor with key
/// `tensor_key`: values of mean about 0 and standard deviation about `deviation`.
void fill_random_blocks(DType dtype, uint64_t tensor_key, int64_t row, int64_t first_block, int64_t num_blocks, float deviation, std::byte* out);

}  // namespace terrace
