// UTF-8 strings by code points, with the meanings of Python's str: lengths, case mapping, character classes.
// Pure functions, any thread. Every text given here is valid UTF-8 (callers check with find_invalid_utf8, utf8.h, at
// the border).
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace terrace::jinja {

// The code point at `pos`, which moves behind it. text[pos] must begin a code point.
char32_t decode_point(std::string_view text, std::size_t& pos);

std::size_t num_points(std::string_view text);
// The byte offset of code point `index`; text.size() when there are fewer.
std::size_t point_offset(std::string_view text, std::size_t index);
std::u32string to_points(std::string_view text);
std::string from_points(std::u32string_view points);

// As str.isspace, isalpha, isdecimal, isdigit, isnumeric, isalnum, isprintable for one character.
bool is_space(char32_t c);
bool is_alpha(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alnum(char32_t c);
bool is_printable(char32_t c);
// Cased letters: those that a case mapping changes (Python counts a few uncased letters such as the ordinal signs too).
bool is_upper(char32_t c);
bool is_lower(char32_t c);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string swap_case(std::string_view text);
std::string to_title(std::string_view text);        // each run of letters: first in title case, others lower
std::string to_capitalized(std::string_view text);  // the first in title case, all others lower

// Without white space, or without the code points of *chars, at the chosen ends. As str.strip, lstrip, rstrip.
std::string_view strip(std::string_view text, bool left, bool right, const std::string_view* chars = nullptr);

}  // namespace terrace::jinja
