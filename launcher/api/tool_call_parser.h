// Takes the calls of functions out of an answer's text, as it comes. One per choice.
//
// Text that only looks like a call (no object with a name; in Llama's form, which no marker begins, no known function's name) stays content. What follows the
// name is handed on as it comes, whole or not, since it can't be taken back. White space before and between calls belongs to neither.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/api/tool_call_form.h"
#include "launcher/api/tool_call_object.h"

namespace terrace {

struct ToolCallDelta {
  int32_t index = 0;      // of the call in its answer
  std::string name;       // in the first of a call, else ""
  std::string arguments;  // that much more of their JSON text
};

struct ToolCallText {
  std::string content;
  std::vector<ToolCallDelta> calls;
};

class ToolCallParser {
 public:
  ToolCallParser(ToolCallForm form, std::vector<std::string> function_names);

  /// What `text` adds. How the text is cut into pieces changes nothing but when things are known.
  ToolCallText push(std::string_view text);
  /// What was held back, at the end of the answer. A call that is cut off before its name is dropped where others came before.
  ToolCallText finish();
  int32_t num_calls() const { return num_calls_; }

 private:
  enum class Place { kStart, kText, kList, kCall, kAfterCall, kProse };

  bool advance(ToolCallText& out);
  bool at_start(ToolCallText& out);
  bool in_text(ToolCallText& out);
  bool in_list(ToolCallText& out);
  bool in_call(ToolCallText& out);
  bool after_call();
  void begin_call();
  void hand_on(ToolCallText& out);
  void fall_back(ToolCallText& out);
  void add_content(std::string_view text, ToolCallText& out);
  void skip_space();

  ToolCallForm form_;
  std::vector<std::string> function_names_;
  Place place_;
  std::string pending_;  // not looked at yet
  std::string raw_;      // of what may turn out to be content
  std::string space_;    // at the content's end
  ToolCallObject object_;
  bool is_call_ = false;  // the object's name has been handed on
  int32_t num_calls_ = 0;
};

}  // namespace terrace
