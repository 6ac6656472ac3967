// The literals of template expressions: string escapes and integers, as Python reads them. Pure functions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace terrace::jinja {

// The value of a string literal's inside. Throws kInvalidValue with the line.
std::string unescape(std::string_view text, int line);

// How many bytes of `text` (which begins with a digit) are one integer literal: 12_000, 0x1f, 0o17, 0b1.
std::size_t integer_end(std::string_view text);
// Its value, '_' removed. Throws kInvalidValue with the line where it does not fit in 64 bits.
std::int64_t parse_integer(std::string_view digits, int line);

}  // namespace terrace::jinja
