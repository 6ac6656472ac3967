// What has not been given back when the process ends.
#pragma once

#include <cstddef>

namespace cudasim {

/// Prints a line for each allocation, stream, event and graph that is still there; their number.
size_t print_leaks();

/// Of the libraries beside the runtime: communicators; handles, descriptions and layouts.
size_t live_nccl_communicators();
size_t live_cublas_objects();

}  // namespace cudasim
