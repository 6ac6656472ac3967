// How SentencePiece writes what its tokens cannot hold: a space as ▁ (U+2581), a byte as "<0x0A>". Pure functions: any
// thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace terrace {

inline constexpr std::string_view kSpaceMark = "▁";

std::string escape_spaces(std::string_view text);    // " " to "▁"
std::string unescape_spaces(std::string_view text);  // and back

/// The byte that "<0xXX>" stands for; nullopt for any other text.
std::optional<char> byte_of_token(std::string_view text);

}  // namespace terrace
