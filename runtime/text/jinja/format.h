// Python's three ways to format: "%s" % x, "{}".format(x) and the format specs within it; round() and float parsing.
// Pure functions over one Runtime.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "runtime/text/jinja/call.h"
#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

// `values`: a tuple (one value per field), a dict (for %(name)s), or the one value.
Value percent_format(Runtime& rt, const Value& text, const Value& values);

// str.format. Fields may look up attributes and items.
Value brace_format(Runtime& rt, const std::string& text, const Arguments& arguments);

// One value by a format spec: [[fill]align][sign][#][0][width][,][.precision][type]
std::string format_spec(Runtime& rt, const Value& value, std::string_view spec);

// A float in the style 'e', 'f' or 'g' (or upper case) with so many digits, as C writes it.
std::string format_style(Runtime& rt, double value, char style, std::int64_t precision, bool alternate = false);

// Python's int(text, base) and float(text): spaces around, '_' between digits, base prefixes. Nothing where Python
// raises ValueError; fails where the integer does not fit in 64 bits.
std::optional<std::int64_t> parse_int(Runtime& rt, std::string_view text, std::int64_t base);
std::optional<double> parse_float(std::string_view text);

}  // namespace terrace::jinja
