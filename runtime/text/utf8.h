// UTF-8 by Unicode's table 3-7: no overlong forms, no surrogates, nothing above U+10FFFF. Pure functions: any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace terrace {

enum class Utf8State {
  kValid,       // a whole character
  kIncomplete,  // the text ends within what may still become one
  kInvalid,     // the first byte can never belong to a character here
};

struct Utf8Char {
  Utf8State state = Utf8State::kInvalid;
  uint32_t code_point = 0;  // where valid
  size_t length = 1;        // bytes to step over: 1 where invalid, all that is left where incomplete
};

/// The character at `offset` (< text.size()).
Utf8Char utf8_at(std::string_view text, size_t offset);

/// Offset of the first byte that is not part of a valid character; npos where all of `text` is valid.
size_t find_invalid_utf8(std::string_view text);

/// Throws Error(kInvalidValue) with the offset unless `text` is valid.
void require_utf8(std::string_view text);

void append_utf8(std::string& text, uint32_t code_point);

/// `text` with each byte that belongs to no valid character replaced by U+FFFD.
std::string to_valid_utf8(std::string_view text);

}  // namespace terrace
