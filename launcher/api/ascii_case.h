// Letters of ASCII alone, as protocols compare names; no locale.
#pragma once

#include <algorithm>
#include <string_view>

namespace terrace {

inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

}  // namespace terrace
