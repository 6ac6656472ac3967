#include "runtime/text/jinja/text.h"

#include <algorithm>

#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

bool ends_line(char32_t c) {
  return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

std::string fill(Runtime& rt, std::string_view text, std::int64_t left, std::int64_t right, char32_t c) {
  std::string one;
  append_utf8(one, c);
  const auto most = static_cast<std::int64_t>(rt.limits().max_text);
  if (left > most || right > most) rt.fail("the width of a text is too large");
  const std::int64_t before = std::max<std::int64_t>(left, 0), after = std::max<std::int64_t>(right, 0);
  rt.reserve_text(text.size() + static_cast<std::size_t>(before + after) * one.size());
  std::string out;
  for (std::int64_t i = 0; i < before; ++i) out += one;
  out += text;
  for (std::int64_t i = 0; i < after; ++i) out += one;
  return out;
}

std::int64_t missing(std::string_view text, std::int64_t width) {
  const auto size = static_cast<std::int64_t>(num_points(text));
  return width > size ? width - size : 0;
}

// The next run of characters that are (not) white space, cut from the front or the back of `text`.
std::string_view take_run(std::string_view& text, bool space, bool from_back) {
  std::size_t size = 0;
  while (size < text.size()) {
    std::size_t begin = from_back ? text.size() - size - 1 : size;
    while (from_back && begin > 0 && (static_cast<unsigned char>(text[begin]) & 0xC0) == 0x80) --begin;
    std::size_t end = begin;
    if (is_space(decode_point(text, end)) != space) break;
    size += end - begin;
  }
  const std::string_view run = from_back ? text.substr(text.size() - size) : text.substr(0, size);
  if (from_back)
    text.remove_suffix(size);
  else
    text.remove_prefix(size);
  return run;
}

std::vector<std::string_view> split_words(std::string_view text, std::int64_t count, bool from_back) {
  std::vector<std::string_view> parts;
  while (true) {
    take_run(text, true, from_back);
    if (text.empty()) break;
    if (count-- == 0) {
      parts.push_back(text);
      break;
    }
    parts.push_back(take_run(text, false, from_back));
  }
  return parts;
}

}  // namespace

std::string replace(Runtime& rt, std::string_view text, std::string_view old, std::string_view with,
                    std::int64_t count) {
  if (count < 0) count = INT64_MAX;
  std::string out;
  std::size_t pos = 0;
  while (count-- > 0) {
    const std::size_t at = text.find(old, pos);
    if (at == std::string_view::npos) break;
    out += text.substr(pos, at - pos);
    out += with;
    pos = at + old.size();
    if (old.empty()) {
      if (pos >= text.size()) break;
      const std::size_t begin = pos;
      decode_point(text, pos);
      out += text.substr(begin, pos - begin);
    }
    if (out.size() > rt.limits().max_text) rt.reserve_text(out.size());
  }
  out += text.substr(std::min(pos, text.size()));
  return out;
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  std::size_t begin = 0;
  for (std::size_t pos = 0; pos < text.size();) {
    const std::size_t end = pos;
    const char32_t c = decode_point(text, pos);
    if (!ends_line(c)) continue;
    if (c == '\r' && pos < text.size() && text[pos] == '\n') ++pos;
    lines.push_back(text.substr(begin, (keep_ends ? pos : end) - begin));
    begin = pos;
  }
  if (begin < text.size()) lines.push_back(text.substr(begin));
  return lines;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separator, std::int64_t count) {
  if (separator.empty()) return split_words(text, count, false);
  std::vector<std::string_view> parts;
  while (count-- != 0) {
    const std::size_t at = text.find(separator);
    if (at == std::string_view::npos) break;
    parts.push_back(text.substr(0, at));
    text.remove_prefix(at + separator.size());
  }
  parts.push_back(text);
  return parts;
}

std::vector<std::string_view> split_from_right(std::string_view text, std::string_view separator, std::int64_t count) {
  std::vector<std::string_view> parts;
  if (separator.empty()) {
    parts = split_words(text, count, true);
  } else {
    while (count-- != 0) {
      const std::size_t at = text.rfind(separator);
      if (at == std::string_view::npos) break;
      parts.push_back(text.substr(at + separator.size()));
      text = text.substr(0, at);
    }
    parts.push_back(text);
  }
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::string pad_right(Runtime& rt, std::string_view text, std::int64_t width, char32_t c) {
  return fill(rt, text, 0, missing(text, width), c);
}

std::string pad_left(Runtime& rt, std::string_view text, std::int64_t width, char32_t c) {
  return fill(rt, text, missing(text, width), 0, c);
}

// An odd rest goes to the left where the width is odd, as in Python.
std::string center(Runtime& rt, std::string_view text, std::int64_t width, char32_t c) {
  const std::int64_t rest = missing(text, width);
  const std::int64_t left = rest / 2 + (rest & width & 1);
  return fill(rt, text, left, rest - left, c);
}

}  // namespace terrace::jinja
