#include "launcher/api/response_format.h"

#include <fmt/format.h>

#include <utility>

#include "launcher/api/api_error.h"
#include "launcher/grammar/json_format.h"

namespace terrace {
namespace {

namespace json = boost::json;

const json::object kAnyObject = {{"type", "object"}, {"additionalProperties", true}};

ResponseFormat read_json_schema(FieldReader& format) {
  const json::value* given = format.value("json_schema");
  if (given == nullptr || !given->is_object()) format.fail("json_schema", "an object with a 'name' and a 'schema'");
  FieldReader fields(given->as_object(), "response_format.json_schema.");
  if (fields.string("name").value_or("").empty()) fields.fail("name", "given");
  fields.ignore("description");
  const json::value* schema = fields.value("schema");
  if (schema != nullptr && !schema->is_object()) fields.fail("schema", "a JSON schema");
  const bool strict = fields.boolean("strict").value_or(false);
  fields.finish();
  if (strict && schema != nullptr) require_enforceable(*schema, "response_format");
  return {json_format(schema == nullptr ? json::value(kAnyObject) : *schema), strict};
}

}  // namespace

void require_enforceable(const json::value& schema, const std::string& field) {
  const std::optional<std::string> keyword = unenforced_keyword(schema);
  if (!keyword) return;
  throw ApiError(400, fmt::format("'{}' cannot be enforced: no grammar follows '{}' of the schema; without 'strict' it is left out", field, *keyword), field);
}

std::optional<ResponseFormat> read_response_format(FieldReader& fields) {
  const json::value* given = fields.value("response_format");
  if (given == nullptr) return std::nullopt;
  if (!given->is_object()) fields.fail("response_format", "an object with a 'type'");
  FieldReader format(given->as_object(), "response_format.");
  const std::string type = format.string("type").value_or("");
  std::optional<ResponseFormat> result;
  if (type == "json_object") {
    result = {json_format(kAnyObject), false};
  } else if (type == "json_schema") {
    result = read_json_schema(format);
  } else if (type != "text") {
    format.fail("type", R"("text", "json_object" or "json_schema")");
  }
  format.finish();
  return result;
}

}  // namespace terrace
