#include "launcher/api/tool_choice.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "launcher/api/response_format.h"

namespace terrace {
namespace {

namespace json = boost::json;

// A function without parameters takes none (OpenAI); a schema that names no type is an object's all the same.
json::object argument_schema(const json::value* parameters) {
  if (parameters == nullptr) return {{"type", "object"}, {"properties", json::object()}, {"additionalProperties", false}};
  json::object schema = parameters->as_object();
  if (!schema.contains("type") && !schema.contains("$ref")) schema["type"] = "object";
  return schema;
}

ToolFunction read_function(const json::value& tool, const std::string& place, const FieldReader& fields) {
  constexpr const char* kExpected = R"(an array of {"type": "function", "function": {"name": ...}})";
  const json::value* type = tool.is_object() ? tool.as_object().if_contains("type") : nullptr;
  const json::value* function = type != nullptr && *type == "function" ? tool.as_object().if_contains("function") : nullptr;
  if (function == nullptr || !function->is_object()) fields.fail("tools", kExpected);
  FieldReader inner(function->as_object(), place + ".function.");
  ToolFunction result;
  result.name = inner.string("name").value_or("");
  if (result.name.empty()) inner.fail("name", "given");
  const json::value* parameters = inner.value("parameters");
  if (parameters != nullptr && !parameters->is_object()) inner.fail("parameters", "a JSON schema");
  result.parameters = argument_schema(parameters);
  result.strict = inner.boolean("strict").value_or(false);
  if (result.strict) require_enforceable(result.parameters, "tools");
  return result;
}

std::vector<ToolFunction> read_functions(FieldReader& fields) {
  const json::value* tools = fields.value("tools");
  if (tools == nullptr) return {};
  if (!tools->is_array()) fields.fail("tools", "an array");
  std::vector<ToolFunction> functions;
  for (const json::value& tool : tools->as_array()) functions.push_back(read_function(tool, fmt::format("tools[{}]", functions.size()), fields));
  return functions;
}

void read_use(ToolChoice& choice, const json::value& given, const FieldReader& fields) {
  if (given == "none") {
    choice.use = ToolUse::kNone;
  } else if (given == "auto") {
    choice.use = ToolUse::kAuto;
  } else if (given == "required") {
    choice.use = ToolUse::kRequired;
  } else {
    const json::value* function = given.is_object() ? given.as_object().if_contains("function") : nullptr;
    const json::value* name = function != nullptr && function->is_object() ? function->as_object().if_contains("name") : nullptr;
    if (name == nullptr || !name->is_string()) fields.fail("tool_choice", R"("none", "auto", "required" or {"type": "function", "function": {"name": ...}})");
    choice.use = ToolUse::kRequired;
    choice.is_named = true;
    std::erase_if(choice.functions, [&](const ToolFunction& f) { return name->as_string() != json::string_view(f.name); });
    if (choice.functions.empty()) fields.fail("tool_choice", "the name of one of the tools");
  }
}

}  // namespace

ToolChoice read_tool_choice(FieldReader& fields) {
  ToolChoice choice;
  choice.functions = read_functions(fields);
  choice.use = choice.functions.empty() ? ToolUse::kNone : ToolUse::kAuto;
  if (const json::value* given = fields.value("tool_choice")) read_use(choice, *given, fields);
  if (choice.use != ToolUse::kNone && choice.functions.empty()) fields.fail("tool_choice", "left out, or \"none\", where no tools are given");
  const bool parallel = fields.boolean("parallel_tool_calls").value_or(true);
  choice.parallel = parallel && !choice.is_named;
  return choice;
}

}  // namespace terrace
