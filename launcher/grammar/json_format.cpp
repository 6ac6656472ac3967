#include "launcher/grammar/json_format.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace terrace {
namespace {

namespace json = boost::json;

// Of xgrammar 0.2.9's SchemaParser.
constexpr std::array<std::string_view, 10> kUnenforced = {"not", "if", "then", "else", "dependentRequired", "dependentSchemas", "uniqueItems", "contains",
                                                          "minContains", "maxContains"};
// Keywords whose values are schemas: one, a list, or an object of them.
constexpr std::array<std::string_view, 7> kSchemas = {"items", "prefixItems", "additionalProperties", "anyOf", "oneOf", "allOf", "propertyNames"};
constexpr std::array<std::string_view, 4> kNamedSchemas = {"properties", "patternProperties", "$defs", "definitions"};

template <typename List>
bool is_in(const List& list, std::string_view key) {
  return std::ranges::find(list, key) != list.end();
}

}  // namespace

std::optional<std::string> unenforced_keyword(const json::value& schema) {
  std::optional<std::string> found;
  const auto look = [&](const json::value& inner) {
    if (!found) found = unenforced_keyword(inner);
  };
  if (schema.is_array()) std::ranges::for_each(schema.as_array(), look);
  if (!schema.is_object()) return found;
  for (const auto& [name, value] : schema.as_object()) {
    const std::string_view key = name;
    if (is_in(kUnenforced, key) && value != false) return std::string(key);  // uniqueItems: false asks for nothing
    if (is_in(kSchemas, key)) look(value);
    if (!is_in(kNamedSchemas, key) || !value.is_object()) continue;
    for (const auto& member : value.as_object()) look(member.value());
  }
  return found;
}

json::object json_format(json::value schema) {
  constexpr int kMaxWhitespace = 32;  // between two tokens: small models go on with it for ever; enough for 15 levels of indentation
  return {{"type", "json_schema"}, {"json_schema", std::move(schema)}, {"max_whitespace_cnt", kMaxWhitespace}};
}

}  // namespace terrace
