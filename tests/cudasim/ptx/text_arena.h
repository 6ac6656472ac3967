// Texts that live as long as the process, all within 1 GiB: the checker keeps 32 bits of their addresses. Any thread.
#pragma once

#include <cstddef>
#include <string_view>

namespace cudasim::ptx {

/// A copy, ended by 0.
const char* keep_text(std::string_view text);
/// Whether the address is that of a kept text.
bool is_kept_text(const char* text);

}  // namespace cudasim::ptx
