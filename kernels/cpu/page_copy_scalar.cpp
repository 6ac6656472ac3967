#include "kernels/cpu/page_copy_kernel.h"

namespace terrace {

uint64_t copy_page_scalar(std::byte* to, const std::byte* from, size_t bytes) { return copy_page_in_pieces(to, from, bytes); }

}  // namespace terrace
