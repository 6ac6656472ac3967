// The constants that C++ kernels are compiled with: parts of a loaded file that nothing can write. Any thread.
#pragma once

#include <cstddef>

namespace cudasim {

bool is_read_only(const void* address, size_t bytes);

}  // namespace cudasim
