// The generated Unicode tables (unicode_tables.cpp): sorted ranges of code points and case mappings. Constant data.
#pragma once

#include <cstdint>
#include <span>

namespace terrace::jinja::unicode {

struct Range {
  std::uint32_t first, last;
};

struct CaseRun {  // first, first + step, ... last map to themselves + delta
  std::uint32_t first, last;
  std::uint8_t step;
  std::int32_t delta;
};

struct CaseSpecial {  // one code point that maps to several
  std::uint32_t point;
  const char* utf8;
};

struct CaseMap {
  std::span<const CaseRun> runs;
  std::span<const CaseSpecial> special;
};

extern const std::span<const Range> alpha_ranges, decimal_ranges, digit_ranges, numeric_ranges, unprintable_ranges;
extern const CaseMap upper_map, lower_map, title_map;

}  // namespace terrace::jinja::unicode
