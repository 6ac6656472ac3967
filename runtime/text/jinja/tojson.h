// Values to and from JSON. to_json is Python's json.dumps: no HTML escapes, keys as they come.
#pragma once

#include <boost/json/fwd.hpp>
#include <optional>
#include <string>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

struct JsonStyle {
  bool ensure_ascii = false;
  bool sort_keys = false;
  std::string item_separator = ", ";
  std::string key_separator = ": ";
  std::optional<std::string> indent;  // for each level, on lines of their own
};

// Fails for what JSON has no form for (undefined, generators, ...).
std::string to_json(Runtime& rt, const Value& value, const JsonStyle& style);

// Objects keep their order. Fails for integers beyond 64 bits and for nesting beyond kMaxNesting.
Value from_json(Runtime& rt, const boost::json::value& json);

}  // namespace terrace::jinja
