// The functions that a chat request offers the model, and what it says about calling them: tools, tool_choice, parallel_tool_calls.
#pragma once

#include <boost/json.hpp>
#include <string>
#include <vector>

#include "launcher/api/field_reader.h"

namespace terrace {

struct ToolFunction {
  std::string name;
  boost::json::object parameters;  // the JSON schema of its arguments, an object's
  bool strict = false;             // calls must follow it also where the model may answer as it likes
};

enum class ToolUse { kNone, kAuto, kRequired };

struct ToolChoice {
  ToolUse use = ToolUse::kNone;
  std::vector<ToolFunction> functions;  // those that may be called
  bool is_named = false;                // tool_choice names the one to call
  bool parallel = true;                 // more than one call in an answer
};

/// Throws ApiError(400).
ToolChoice read_tool_choice(FieldReader& fields);

}  // namespace terrace
