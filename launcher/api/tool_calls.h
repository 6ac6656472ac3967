// The calls of functions in one answer, with the ids that later messages name them by; taken out of its text as it comes. One per choice.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/api/answer_form.h"
#include "launcher/api/tool_call_parser.h"

namespace terrace {

class ToolCalls {
 public:
  /// `form` has calls. The ids depend on `id_seed` alone.
  ToolCalls(const AnswerForm& form, uint64_t id_seed);

  /// The content that `text` adds.
  std::string push(std::string_view text) { return take(parser_.push(text)); }
  /// At the end of the answer.
  std::string finish() { return take(parser_.finish()); }
  bool empty() const { return calls_.empty(); }
  /// [{"id", "type", "function": {"name", "arguments"}}]
  boost::json::array list() const;
  /// Whether take_deltas() would give anything.
  bool has_news() const;
  /// For the next chunk of a stream: what has come since the last call, [{"index", "function": {"arguments"}}], id, type and name where a call begins.
  boost::json::array take_deltas();

 private:
  struct Call {
    std::string id, name, arguments;
    size_t sent = 0;        // of the arguments
    bool is_open = false;   // its name has been sent
  };

  std::string take(ToolCallText text);
  std::string make_id() const;

  ToolCallForm form_;
  uint64_t id_seed_;
  ToolCallParser parser_;
  std::vector<Call> calls_;
};

}  // namespace terrace
