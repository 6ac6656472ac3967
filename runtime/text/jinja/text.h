// Work on whole texts that filters and str methods share. Pure functions; sizes are checked against the Runtime.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/jinja/runtime.h"

namespace terrace::jinja {

// As str.replace; a negative count replaces all. An empty `old` matches before every character and at the end.
std::string replace(Runtime& rt, std::string_view text, std::string_view old, std::string_view with,
                    std::int64_t count);

// As str.splitlines: at \n, \r, \r\n and Unicode's other line ends.
std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

// As str.split and rsplit. `separator` empty: at runs of white space. `count` negative: no bound.
std::vector<std::string_view> split(std::string_view text, std::string_view separator, std::int64_t count);
std::vector<std::string_view> split_from_right(std::string_view text, std::string_view separator, std::int64_t count);

// As str.ljust, rjust and center: filled up to `width` code points.
std::string pad_right(Runtime& rt, std::string_view text, std::int64_t width, char32_t fill);
std::string pad_left(Runtime& rt, std::string_view text, std::int64_t width, char32_t fill);
std::string center(Runtime& rt, std::string_view text, std::int64_t width, char32_t fill);

}  // namespace terrace::jinja
