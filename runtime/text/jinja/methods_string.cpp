// Methods of str that give a text or tell about one.
#include <fmt/format.h>

#include <algorithm>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/format.h"
#include "runtime/text/jinja/print.h"
#include "runtime/text/jinja/text.h"
#include "runtime/text/jinja/unicode.h"
#include "runtime/text/utf8.h"

namespace terrace::jinja {
namespace {

const std::string& text(Call& call) {
  call.rt.step(call.self.extent().cost);
  return call.self.as_string();
}

Value strip_ends(Call& call, bool left, bool right) {
  if (!call.has(0) || call.at(0).is_none()) return call.rt.string(std::string(strip(text(call), left, right)));
  const std::string_view chars = call.string(0);
  return call.rt.string(std::string(strip(text(call), left, right, &chars)));
}

Value method_strip(Call& call) { return strip_ends(call, true, true); }
Value method_lstrip(Call& call) { return strip_ends(call, true, false); }
Value method_rstrip(Call& call) { return strip_ends(call, false, true); }
Value method_lower(Call& call) { return call.rt.string(to_lower(text(call))); }
Value method_upper(Call& call) { return call.rt.string(to_upper(text(call))); }
Value method_title(Call& call) { return call.rt.string(to_title(text(call))); }
Value method_capitalize(Call& call) { return call.rt.string(to_capitalized(text(call))); }
Value method_swapcase(Call& call) { return call.rt.string(swap_case(text(call))); }
Value method_format(Call& call) { return brace_format(call.rt, text(call), call.rest); }

Value method_replace(Call& call) {
  return call.rt.string(replace(call.rt, text(call), call.string(0), call.string(1), call.integer(2, -1)));
}

char32_t fill_of(Call& call) {
  if (!call.has(1)) return U' ';
  const std::u32string points = to_points(call.string(1));
  if (points.size() != 1) call.fail("needs one character to fill with");
  return points[0];
}

Value method_center(Call& call) { return call.rt.string(center(call.rt, text(call), call.integer(0), fill_of(call))); }
Value method_ljust(Call& call) {
  return call.rt.string(pad_right(call.rt, text(call), call.integer(0), fill_of(call)));
}
Value method_rjust(Call& call) { return call.rt.string(pad_left(call.rt, text(call), call.integer(0), fill_of(call))); }

Value method_zfill(Call& call) {
  const std::string& number = text(call);
  const bool is_signed = !number.empty() && (number[0] == '-' || number[0] == '+');
  const std::string_view digits = std::string_view(number).substr(is_signed ? 1 : 0);
  const std::int64_t width = std::max<std::int64_t>(call.integer(0), 0) - (is_signed ? 1 : 0);
  return call.rt.string(number.substr(0, is_signed ? 1 : 0) + pad_left(call.rt, digits, width, U'0'));
}

Value method_expandtabs(Call& call) {
  const std::int64_t size = call.integer(0, 8);
  if (size > 1000) call.fail("gets too large a tab");
  std::string out;
  std::int64_t column = 0;
  for (const char32_t c : to_points(text(call))) {
    if (c != '\t') {
      append_utf8(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
      continue;
    }
    const std::int64_t gap = size > 0 ? size - column % size : 0;
    out.append(static_cast<std::size_t>(gap), ' ');
    column += gap;
    if (out.size() > call.rt.limits().max_text) call.rt.reserve_text(out.size());
  }
  return call.rt.string(std::move(out));
}

Value method_removeprefix(Call& call) {
  const std::string& prefix = call.string(0);
  return call.rt.string(text(call).starts_with(prefix) ? text(call).substr(prefix.size()) : text(call));
}

Value method_removesuffix(Call& call) {
  const std::string& suffix = call.string(0);
  const std::string& whole = text(call);
  return call.rt.string(whole.ends_with(suffix) ? whole.substr(0, whole.size() - suffix.size()) : whole);
}

Value method_join(Call& call) {
  std::string out;
  bool first = true;
  for (const Value& item : to_items(call.rt, call.at(0))) {
    if (!item.is_string()) call.fail(fmt::format("needs strings, not a {}", type_name(item)));
    if (!first) out += text(call);
    first = false;
    out += item.as_string();
    if (out.size() > call.rt.limits().max_text) call.rt.reserve_text(out.size());
  }
  return call.rt.string(std::move(out));
}

// True for a non-empty text of which every character passes.
template <bool (*passes)(char32_t)>
Value method_all(Call& call) {
  const std::u32string points = to_points(text(call));
  return !points.empty() && std::all_of(points.begin(), points.end(), passes);
}

Value method_isascii(Call& call) {
  return std::all_of(text(call).begin(), text(call).end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

Value method_islower(Call& call) { return call_builtin(call.rt, *find_test("lower"), call.self, {}); }
Value method_isupper(Call& call) { return call_builtin(call.rt, *find_test("upper"), call.self, {}); }

Value method_istitle(Call& call) {
  bool in_word = false, any = false;
  for (const char32_t c : to_points(text(call))) {
    if (is_upper(c) ? in_word : is_lower(c) && !in_word) return false;
    in_word = is_upper(c) || is_lower(c);
    any = any || in_word;
  }
  return any;
}

constexpr Builtin kTable[] = {
    {"capitalize", "/", method_capitalize},
    {"center", "width fillchar? /", method_center},
    {"expandtabs", "tabsize?", method_expandtabs},
    {"format", "*", method_format},
    {"isalnum", "/", method_all<is_alnum>},
    {"isalpha", "/", method_all<is_alpha>},
    {"isascii", "/", method_isascii},
    {"isdecimal", "/", method_all<is_decimal>},
    {"isdigit", "/", method_all<is_digit>},
    {"islower", "/", method_islower},
    {"isnumeric", "/", method_all<is_numeric>},
    {"isprintable", "/", method_all<is_printable>},
    {"isspace", "/", method_all<is_space>},
    {"istitle", "/", method_istitle},
    {"isupper", "/", method_isupper},
    {"join", "iterable /", method_join},
    {"ljust", "width fillchar? /", method_ljust},
    {"lower", "/", method_lower},
    {"lstrip", "chars? /", method_lstrip},
    {"removeprefix", "prefix /", method_removeprefix},
    {"removesuffix", "suffix /", method_removesuffix},
    {"replace", "old new count? /", method_replace},
    {"rjust", "width fillchar? /", method_rjust},
    {"rstrip", "chars? /", method_rstrip},
    {"strip", "chars? /", method_strip},
    {"swapcase", "/", method_swapcase},
    {"title", "/", method_title},
    {"upper", "/", method_upper},
    {"zfill", "width /", method_zfill},
};

}  // namespace

std::span<const Builtin> string_methods() { return kTable; }

}  // namespace terrace::jinja
