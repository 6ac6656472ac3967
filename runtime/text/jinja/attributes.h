// x.name, x[key] and x[a:b:c], as jinja2's sandbox resolves them. Pure functions over one Runtime.
#pragma once

#include <optional>
#include <string_view>

#include "runtime/text/jinja/runtime.h"
#include "runtime/text/jinja/value.h"

namespace terrace::jinja {

// What Python's getattr finds: a method, or an attribute of a template object. Methods that would change a list or
// dict are not there.
std::optional<Value> find_attribute(Runtime& rt, const Value& object, std::string_view name);

// x.name: the attribute, else the item "name", else undefined.
Value get_attribute(Runtime& rt, const Value& object, std::string_view name);

// x[key]: the item, else (for a string key) the attribute, else undefined. Fails only for an undefined x.
Value get_item(Runtime& rt, const Value& object, const Value& key);

// x[start:stop:step]; absent bounds are None.
Value get_slice(Runtime& rt, const Value& object, const Value& start, const Value& stop, const Value& step);

// "a.b.0" looked up part by part with get_item, as the `attribute` argument of filters. An int is one part, None none.
class AttributePath {
 public:
  AttributePath(Runtime& rt, const Value& path);
  Value get(Runtime& rt, Value object, const Value* otherwise = nullptr) const;

 private:
  Values parts_;
};

}  // namespace terrace::jinja
