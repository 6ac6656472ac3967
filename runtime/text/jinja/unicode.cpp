#include "runtime/text/jinja/unicode.h"

#include <algorithm>

#include "runtime/text/jinja/unicode_tables.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

constexpr char32_t kCapitalSigma = 0x3A3, kFinalSigma = 0x3C2;

bool in_ranges(std::span<const unicode::Range> ranges, char32_t c) {
  const auto next = std::upper_bound(ranges.begin(), ranges.end(), c, [](char32_t p, auto& r) { return p < r.first; });
  return next != ranges.begin() && c <= std::prev(next)->last;
}

// Appends what `c` maps to; returns whether that differs from c.
bool append_mapped(std::string& out, const unicode::CaseMap& map, char32_t c) {
  const auto special = std::lower_bound(map.special.begin(), map.special.end(), c,
                                        [](auto& entry, char32_t p) { return entry.point < p; });
  if (special != map.special.end() && special->point == c) {
    out += special->utf8;
    return true;
  }
  const auto next =
      std::upper_bound(map.runs.begin(), map.runs.end(), c, [](char32_t p, auto& r) { return p < r.first; });
  if (next != map.runs.begin()) {
    const unicode::CaseRun& run = *std::prev(next);
    if (c <= run.last && (c - run.first) % run.step == 0) {
      append_utf8(out, static_cast<char32_t>(static_cast<std::int64_t>(c) + run.delta));
      return true;
    }
  }
  append_utf8(out, c);
  return false;
}

bool changes(const unicode::CaseMap& map, char32_t c) {
  std::string ignored;
  return append_mapped(ignored, map, c);
}

// A capital sigma that ends a word becomes the final form.
char32_t lower_sigma(const std::u32string& points, std::size_t i) {
  const bool after_letter = i > 0 && is_alpha(points[i - 1]);
  const bool before_letter = i + 1 < points.size() && is_alpha(points[i + 1]);
  return after_letter && !before_letter ? kFinalSigma : kCapitalSigma;
}

void append_lower(std::string& out, const std::u32string& points, std::size_t i) {
  const char32_t c = points[i] == kCapitalSigma ? lower_sigma(points, i) : points[i];
  append_mapped(out, unicode::lower_map, c);
}

}  // namespace

char32_t decode_point(std::string_view text, std::size_t& pos) {
  const auto lead = static_cast<unsigned char>(text[pos++]);
  if (lead < 0x80) return lead;
  const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
  char32_t point = lead & (0x3F >> more);
  for (int k = 0; k < more && pos < text.size(); ++k)
    point = point << 6 | (static_cast<unsigned char>(text[pos++]) & 0x3F);
  return point;
}

std::size_t num_points(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::size_t point_offset(std::string_view text, std::size_t index) {
  std::size_t pos = 0;
  for (; index > 0 && pos < text.size(); --index) decode_point(text, pos);
  return pos;
}

std::u32string to_points(std::string_view text) {
  std::u32string points;
  for (std::size_t pos = 0; pos < text.size();) points += decode_point(text, pos);
  return points;
}

std::string from_points(std::u32string_view points) {
  std::string out;
  for (const char32_t c : points) append_utf8(out, c);
  return out;
}

bool is_space(char32_t c) {
  return c == ' ' || (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alpha(char32_t c) { return in_ranges(unicode::alpha_ranges, c); }
bool is_decimal(char32_t c) { return in_ranges(unicode::decimal_ranges, c); }
bool is_digit(char32_t c) { return in_ranges(unicode::digit_ranges, c); }
bool is_numeric(char32_t c) { return in_ranges(unicode::numeric_ranges, c); }
bool is_alnum(char32_t c) { return is_alpha(c) || is_numeric(c); }
bool is_printable(char32_t c) { return !in_ranges(unicode::unprintable_ranges, c); }
bool is_upper(char32_t c) { return changes(unicode::lower_map, c); }
bool is_lower(char32_t c) { return !is_upper(c) && changes(unicode::upper_map, c); }

std::string to_upper(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t pos = 0; pos < text.size();) append_mapped(out, unicode::upper_map, decode_point(text, pos));
  return out;
}

std::string to_lower(std::string_view text) {
  const std::u32string points = to_points(text);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < points.size(); ++i) append_lower(out, points, i);
  return out;
}

std::string swap_case(std::string_view text) {
  const std::u32string points = to_points(text);
  std::string out;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (is_upper(points[i])) {
      append_lower(out, points, i);
    } else {
      append_mapped(out, unicode::upper_map, points[i]);
    }
  }
  return out;
}

std::string to_title(std::string_view text) {
  const std::u32string points = to_points(text);
  std::string out;
  bool in_word = false;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (in_word) {
      append_lower(out, points, i);
    } else {
      append_mapped(out, unicode::title_map, points[i]);
    }
    in_word = is_upper(points[i]) || is_lower(points[i]);
  }
  return out;
}

std::string to_capitalized(std::string_view text) {
  const std::u32string points = to_points(text);
  std::string out;
  for (std::size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      append_mapped(out, unicode::title_map, points[i]);
    } else {
      append_lower(out, points, i);
    }
  }
  return out;
}

std::string_view strip(std::string_view text, bool left, bool right, const std::string_view* chars) {
  const std::u32string set = chars ? to_points(*chars) : std::u32string();
  const auto drop = [&](char32_t c) { return chars ? set.find(c) != std::u32string::npos : is_space(c); };
  while (left && !text.empty()) {
    std::size_t pos = 0;
    if (!drop(decode_point(text, pos))) break;
    text.remove_prefix(pos);
  }
  while (right && !text.empty()) {
    std::size_t begin = text.size() - 1;
    while (begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    std::size_t pos = begin;
    if (!drop(decode_point(text, pos))) break;
    text.remove_suffix(text.size() - begin);
  }
  return text;
}

}  // namespace terrace::jinja
