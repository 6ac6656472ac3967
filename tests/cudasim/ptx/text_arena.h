// Texts that live as long as the process, all within 1 GiB: the checker keeps 32 bits of their addresses. Any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace cudasim::ptx {

/// A copy, ended by 0.
const char* keep_text(std::string_view text);
/// The text whose address ends in these 32 bits, or null.
const char* kept_text(uint32_t address_bits);

}  // namespace cudasim::ptx
