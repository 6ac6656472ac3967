// Text of a wanted length for load that is not recorded: words of a fixed list, each of which byte-pair vocabularies commonly hold as one token. The server's
// own count is what reports show. Pure.
#pragma once

#include <cstdint>
#include <string>

namespace terrace {

/// `num_tokens` words, a space before each; the same seed gives the same words, and a longer text begins with a shorter one.
std::string synthetic_text(int32_t num_tokens, uint64_t seed);

}  // namespace terrace
