#include "runtime/text/chat_messages.h"

#include <fmt/format.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

namespace bj = boost::json;

[[noreturn]] void fail_message(std::size_t index, const std::string& problem) {
  throw Error(ErrorCode::kInvalidValue, fmt::format("messages[{}]: {}", index, problem));
}

std::string to_std(const bj::string& text) { return {text.data(), text.size()}; }

void join_parts(bj::object& message, std::size_t index) {
  bj::value* content = message.if_contains("content");
  if (!content || !content->is_array()) return;
  std::string joined;
  bool first = true;
  for (const bj::value& part : content->get_array()) {
    const bj::value* text = part.is_object() ? part.get_object().if_contains("text") : nullptr;
    const bj::value* type = part.is_object() ? part.get_object().if_contains("type") : nullptr;
    if (type && type->is_string() && type->get_string() != "text") {
      fail_message(index, fmt::format("this model's chat template takes text only, not a content part of type '{}'",
                                      to_std(type->get_string())));
    }
    if (!text || !text->is_string())
      fail_message(index, "a content part needs \"type\": \"text\" and a string \"text\"");
    if (!first) joined += '\n';
    first = false;
    joined += to_std(text->get_string());
  }
  *content = joined;
}

void parse_arguments(bj::object& message, std::size_t index) {
  bj::value* calls = message.if_contains("tool_calls");
  if (!calls || !calls->is_array()) return;
  for (bj::value& call : calls->get_array()) {
    bj::value* function = call.is_object() ? call.get_object().if_contains("function") : nullptr;
    bj::value* arguments =
        function && function->is_object() ? function->get_object().if_contains("arguments") : nullptr;
    if (!arguments || !arguments->is_string()) continue;
    bj::error_code error;
    const bj::string& text = arguments->get_string();
    bj::value parsed = text.empty() ? bj::value(bj::object()) : bj::parse(text, error);
    if (error) fail_message(index, "the arguments of a tool call are a string that is no JSON: " + error.message());
    *arguments = std::move(parsed);
  }
}

void name_reasoning(bj::object& message) {
  const bj::value* reasoning = nullptr;
  for (const char* name : {"reasoning", "thinking", "reasoning_content"}) {
    const bj::value* found = message.if_contains(name);
    if (found && !found->is_null()) reasoning = found;
  }
  if (!reasoning) return;
  const bj::value text = *reasoning;
  if (!message.contains("thinking")) message["thinking"] = text;
  message["reasoning_content"] = text;
}

}  // namespace

void prepare_messages(boost::json::array& messages, bool keep_parts) {
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].is_object()) fail_message(i, "a message is an object with \"role\" and \"content\"");
    bj::object& message = messages[i].get_object();
    if (!keep_parts) join_parts(message, i);
    parse_arguments(message, i);
    name_reasoning(message);
  }
}

}  // namespace terrace
