#include "runtime/text/jinja/string_literal.h"

#include <fmt/format.h>

#include <charconv>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

bool is_digit_of(char c, int base) {
  const int value = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : 99;
  return value < base;
}

// A code point of exactly `size` hexadecimal digits at `pos`, which moves behind them.
char32_t read_hex(std::string_view text, std::size_t& pos, std::size_t size, int line) {
  std::uint32_t point = 0;
  const std::string_view digits = text.substr(pos, size);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), point, 16);
  if (digits.size() < size || error != std::errc() || end != digits.data() + size) {
    fail_at_line(line, fmt::format("an escape in a string needs {} hexadecimal digits", size));
  }
  if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) {
    fail_at_line(line, fmt::format("an escape in a string names U+{:04X}, which is no character", point));
  }
  pos += size;
  return point;
}

char32_t read_octal(std::string_view text, std::size_t& pos) {
  char32_t point = 0;
  for (int i = 0; i < 3 && pos < text.size() && is_digit_of(text[pos], 8); ++i) {
    point = point * 8 + static_cast<char32_t>(text[pos++] - '0');
  }
  return point;
}

// jinja2 escapes what is not ASCII before it undoes escapes, so a backslash before such a character shows its code.
void append_code(std::string& out, char32_t c) {
  const auto code = static_cast<std::uint32_t>(c);
  out += code < 0x100     ? fmt::format("\\x{:02x}", code)
         : code < 0x10000 ? fmt::format("\\u{:04x}", code)
                          : fmt::format("\\U{:08x}", code);
}

}  // namespace

std::string unescape(std::string_view text, int line) {
  static constexpr std::string_view kLetters = "abfnrtv\\'\"";
  static constexpr std::string_view kMeanings = "\a\b\f\n\r\t\v\\'\"";
  std::string out;
  for (std::size_t pos = 0; pos < text.size();) {
    if (text[pos] != '\\') {
      out += text[pos++];
      continue;
    }
    ++pos;
    if (pos >= text.size()) fail_at_line(line, "a string ends with a backslash");
    const std::size_t letter = kLetters.find(text[pos]);
    if (letter != std::string_view::npos) {
      out += kMeanings[letter];
      ++pos;
    } else if (text[pos] == '\n') {
      ++pos;
    } else if (text[pos] >= '0' && text[pos] <= '7') {
      append_utf8(out, read_octal(text, pos));
    } else if (text[pos] == 'x' || text[pos] == 'u' || text[pos] == 'U') {
      const std::size_t size = text[pos] == 'x' ? 2 : text[pos] == 'u' ? 4 : 8;
      append_utf8(out, read_hex(text, ++pos, size, line));
    } else if (text[pos] == 'N') {
      fail_at_line(line, "the escape \\N{name} is not supported; write the character itself");
    } else if (static_cast<unsigned char>(text[pos]) >= 0x80) {
      append_code(out, decode_point(text, pos));
    } else {
      out += '\\';
      out += text[pos++];
    }
  }
  return out;
}

std::size_t integer_end(std::string_view text) {
  const char letter = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 32) : '\0';
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  const auto more = [&](std::size_t at, int digit_base) {  // a digit, or '_' and a digit
    if (at < text.size() && text[at] == '_') ++at;
    return at < text.size() && is_digit_of(text[at], digit_base) ? at + 1 : 0;
  };
  std::size_t end = base == 10 ? 1 : 2;
  if (base != 10 && more(2, base) == 0) return 1;                  // "0x" without digits: a zero, then a name
  const int digit_base = base == 10 && text[0] == '0' ? 1 : base;  // a zero goes on with zeros only
  while (const std::size_t next = more(end, digit_base)) end = next;
  return end;
}

std::int64_t parse_integer(std::string_view digits, int line) {
  const char letter = digits.size() > 1 ? static_cast<char>(digits[1] | 32) : '\0';
  const int base = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 10;
  if (base != 10) digits.remove_prefix(2);
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (error != std::errc() || end != digits.data() + digits.size())
    fail_at_line(line, "an integer does not fit in 64 bits");
  return value;
}

}  // namespace terrace::jinja
