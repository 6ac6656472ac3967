#include "runtime/text/jinja/format.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "runtime/text/jinja/attributes.h"
#include "runtime/text/jinja/operators.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

constexpr std::int64_t kMaxPrecision = 1000;  // digits after the point

bool is_ascii_digit(char c) { return c >= '0' && c <= '9'; }

// A decimal number at the front of `text`, which it is cut from. Nothing where no digit stands there.
std::optional<std::int64_t> take_number(Runtime& rt, std::string_view& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || !is_ascii_digit(text[0])) return std::nullopt;
  if (error != std::errc()) rt.fail("a number in a format is too large");
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return number;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text[0] != c) return false;
  text.remove_prefix(1);
  return true;
}

// `text` filled up to `width` code points.
std::string fill_up(Runtime& rt, std::string text, std::string_view fill, char align, std::int64_t width) {
  const std::int64_t missing = width - static_cast<std::int64_t>(num_points(text));
  if (missing <= 0) return text;
  if (static_cast<std::uint64_t>(missing) > rt.limits().max_text / 4) rt.fail("the width of a format is too large");
  const std::int64_t left = align == '<' ? 0 : align == '^' ? missing / 2 : missing;
  rt.reserve_text(static_cast<std::size_t>(missing) * fill.size());
  std::string out;
  for (std::int64_t i = 0; i < left; ++i) out += fill;
  out += text;
  for (std::int64_t i = left; i < missing; ++i) out += fill;
  return out;
}

// Digits of |value| in base 2, 8, 10 or 16.
std::string digits_of(std::int64_t value, char type) {
  const std::uint64_t magnitude = value < 0 ? 0 - static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value);
  switch (type) {
    case 'b': return fmt::format("{:b}", magnitude);
    case 'o': return fmt::format("{:o}", magnitude);
    case 'x': return fmt::format("{:x}", magnitude);
    case 'X': return fmt::format("{:X}", magnitude);
    default: return fmt::format("{}", magnitude);
  }
}

std::string group_thousands(const std::string& number, char separator) {
  const std::size_t whole = std::min(number.find_first_of(".e"), number.size());
  std::string out;
  for (std::size_t i = 0; i < number.size(); ++i) {
    if (i > 0 && i < whole && (whole - i) % 3 == 0) out += separator;
    out += number[i];
  }
  return out;
}

struct Spec {
  std::string fill = " ";
  char align = 0, sign = '-', type = 0, thousands = 0;
  bool alternate = false, zero = false;
  std::int64_t width = 0;
  std::optional<std::int64_t> precision;
};

Spec parse_spec(Runtime& rt, std::string_view text) {
  Spec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  std::size_t after_fill = 0;
  if (!text.empty()) decode_point(text, after_fill);
  if (after_fill > 0 && after_fill < text.size() && is_align(text[after_fill])) {
    spec.fill = text.substr(0, after_fill);
    spec.align = text[after_fill];
    text.remove_prefix(after_fill + 1);
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    text.remove_prefix(1);
  }
  if (!text.empty() && (text[0] == '+' || text[0] == '-' || text[0] == ' ')) {
    spec.sign = text[0];
    text.remove_prefix(1);
  }
  spec.alternate = take(text, '#');
  spec.zero = take(text, '0');
  spec.width = take_number(rt, text).value_or(0);
  if (!text.empty() && (text[0] == ',' || text[0] == '_')) {
    spec.thousands = text[0];
    text.remove_prefix(1);
  }
  if (take(text, '.')) {
    spec.precision = take_number(rt, text);
    if (!spec.precision) rt.fail("a format spec has a '.' without a precision");
  }
  if (text.size() == 1) {
    spec.type = text[0];
  } else if (!text.empty()) {
    rt.fail(fmt::format("'{}' at the end of a format spec is not known", text));
  }
  return spec;
}

std::string place_number(Runtime& rt, const Spec& spec, bool negative, const std::string& prefix, std::string number) {
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  if (spec.thousands) number = group_thousands(number, spec.thousands);
  const char align = spec.align ? spec.align : spec.zero ? '=' : '>';
  const std::string_view fill = spec.zero && !spec.align ? "0" : std::string_view(spec.fill);
  const std::string head = sign + prefix;
  if (align != '=') return fill_up(rt, head + number, fill, align, spec.width);
  return head + fill_up(rt, number, fill, '>', spec.width - static_cast<std::int64_t>(head.size()));
}

std::string format_int(Runtime& rt, const Spec& spec, std::int64_t value) {
  const bool known = spec.type == 0 || std::string_view("bdoxXnc").find(spec.type) != std::string_view::npos;
  if (!known || spec.precision) rt.fail("a format spec does not fit an int");
  if (spec.type == 'c') {
    if (value < 0 || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
      rt.fail("a format spec's 'c' needs a code point");
    std::string out;
    append_utf8(out, static_cast<char32_t>(value));
    return fill_up(rt, out, spec.fill, spec.align ? spec.align : '<', spec.width);
  }
  const bool has_prefix = spec.alternate && spec.type && spec.type != 'd' && spec.type != 'n';
  return place_number(rt, spec, value < 0, has_prefix ? std::string("0") + spec.type : "", digits_of(value, spec.type));
}

std::string format_real(Runtime& rt, const Spec& spec, double value) {
  const double magnitude = std::fabs(value);
  const bool negative = std::signbit(value) && !std::isnan(value);
  if (spec.type == 0) {
    if (!spec.precision) return place_number(rt, spec, negative, "", format_float(magnitude));
    std::string text = format_style(rt, magnitude, 'g', *spec.precision, spec.alternate);
    if (text.find_first_of(".en") == std::string::npos) text += ".0";
    return place_number(rt, spec, negative, "", text);
  }
  if (std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos)
    rt.fail("a format spec does not fit a float");
  const bool percent = spec.type == '%';
  const char style = percent ? 'f' : spec.type == 'n' ? 'g' : spec.type;
  std::string text =
      format_style(rt, percent ? magnitude * 100 : magnitude, style, spec.precision.value_or(6), spec.alternate);
  return place_number(rt, spec, negative, "", percent ? text + "%" : text);
}

std::string format_string(Runtime& rt, const Spec& spec, std::string text) {
  const bool fits = (spec.type == 0 || spec.type == 's') && spec.align != '=' && !spec.thousands && !spec.alternate;
  if (!fits || spec.sign != '-') rt.fail("a format spec does not fit a str");
  if (spec.precision) text.resize(point_offset(text, static_cast<std::size_t>(*spec.precision)));
  return fill_up(rt, std::move(text), spec.zero && !spec.align ? "0" : std::string_view(spec.fill),
                 spec.align ? spec.align : '<', spec.width);
}

}  // namespace

std::string format_style(Runtime& rt, double value, char style, std::int64_t precision, bool alternate) {
  if (precision < 0 || precision > kMaxPrecision) rt.fail("the precision of a format is too large");
  const char pattern[] = {
      '%', alternate ? '#' : '.', alternate ? '.' : '*', alternate ? '*' : style, alternate ? style : '\0', '\0'};
  std::string out(static_cast<std::size_t>(kMaxPrecision) + 400, '\0');
  const int length = std::snprintf(out.data(), out.size(), pattern, static_cast<int>(precision), value);
  out.resize(static_cast<std::size_t>(std::max(length, 0)));
  return out;
}

std::string format_spec(Runtime& rt, const Value& value, std::string_view spec_text) {
  if (spec_text.empty()) return to_text(rt, value);
  const Spec spec = parse_spec(rt, spec_text);
  const bool float_type = spec.type && std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos;
  if (value.is(Kind::kFloat) || (value.is_integral() && float_type)) return format_real(rt, spec, value.as_double());
  if (value.is_integral()) return format_int(rt, spec, value.as_int());
  if (!value.is_string()) rt.fail(fmt::format("a {} takes no format spec", type_name(value)));
  return format_string(rt, spec, value.as_string());
}

std::optional<double> parse_float(std::string_view text) {
  text = strip(text, true, true);
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      plain += static_cast<char>(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
      continue;
    }
    const bool between = i > 0 && i + 1 < text.size() && is_ascii_digit(text[i - 1]) && is_ascii_digit(text[i + 1]);
    if (!between) return std::nullopt;
  }
  std::string_view body = plain;
  const bool negative = body.starts_with('-');
  if (negative || body.starts_with('+')) body.remove_prefix(1);
  if (body.empty() || body[0] == '-' || body[0] == '+') return std::nullopt;
  if (body == "infinity" || body == "inf") return negative ? -HUGE_VAL : HUGE_VAL;
  if (body == "nan") return std::nan("");
  if (!is_ascii_digit(body[0]) && body[0] != '.') return std::nullopt;
  double value = 0;
  const auto [end, error] = std::from_chars(body.data(), body.data() + body.size(), value);
  if (end != body.data() + body.size() || error == std::errc::invalid_argument) return std::nullopt;
  if (error == std::errc::result_out_of_range) value = std::strtod(std::string(body).c_str(), nullptr);
  return negative ? -value : value;
}

std::optional<std::int64_t> parse_int(Runtime& rt, std::string_view text, std::int64_t base) {
  text = strip(text, true, true);
  if (base != 0 && (base < 2 || base > 36)) rt.fail("the base of an int is 0 or from 2 to 36");
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  const char letter = text.size() > 1 && text[0] == '0' ? static_cast<char>(text[1] | 32) : '\0';
  const std::int64_t prefix = letter == 'x' ? 16 : letter == 'o' ? 8 : letter == 'b' ? 2 : 0;
  if (prefix != 0 && (base == 0 || base == prefix)) {
    text.remove_prefix(2);
    if (text.starts_with('_')) text.remove_prefix(1);
    base = prefix;
  } else if (base == 0) {
    base = 10;
    if (text.size() > 1 && text[0] == '0' && text.find_first_not_of("0_") != std::string_view::npos)
      return std::nullopt;
  }
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_')
      digits += text[i];
    else if (i == 0 || i + 1 == text.size() || text[i + 1] == '_')
      return std::nullopt;
  }
  if (digits.empty() || digits[0] == '-' || digits[0] == '+') return std::nullopt;
  if (negative) digits = '-' + digits;
  std::int64_t value = 0;
  const auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), value, static_cast<int>(base));
  if (end != digits.data() + digits.size()) return std::nullopt;
  if (error == std::errc::result_out_of_range) rt.fail("an integer does not fit in 64 bits");
  if (error != std::errc()) return std::nullopt;
  return value;
}

}  // namespace terrace::jinja
