#include "launcher/bench/stream_event.h"

#include <boost/json.hpp>

namespace terrace {
namespace {

namespace json = boost::json;

const json::object* object_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  return value == nullptr ? nullptr : value->if_object();
}

bool has_text(const json::object& object) {
  for (const char* key : {"text", "content", "reasoning_content", "reasoning"}) {
    const json::value* value = object.if_contains(key);
    if (value != nullptr && value->is_string() && !value->get_string().empty()) return true;
  }
  const json::value* calls = object.if_contains("tool_calls");
  return calls != nullptr && calls->is_array() && !calls->get_array().empty();
}

std::optional<int64_t> count_in(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

void read_usage(const json::object& usage, StreamEvent& event) {
  event.prompt_tokens = count_in(usage, "prompt_tokens");
  event.output_tokens = count_in(usage, "completion_tokens");
  if (const json::object* details = object_in(usage, "prompt_tokens_details")) event.cached_tokens = count_in(*details, "cached_tokens");
}

std::string message_in(const json::object& body) {
  const json::value* error = body.if_contains("error");
  if (error == nullptr || error->is_null()) return "";
  const json::value* message = error->is_object() ? error->get_object().if_contains("message") : error;
  if (message != nullptr && message->is_string()) return std::string(message->get_string());
  return json::serialize(*error);
}

}  // namespace

StreamEvent read_stream_event(std::string_view data) {
  StreamEvent event;
  if (data == "[DONE]") {
    event.done = true;
    return event;
  }
  boost::system::error_code failed;
  const json::value value = json::parse(data, failed);
  if (failed || !value.is_object()) {
    event.error = "an event of the stream is not a JSON object";
    return event;
  }
  const json::object& body = value.get_object();
  event.error = message_in(body);
  if (const json::object* usage = object_in(body, "usage")) read_usage(*usage, event);
  const json::value* choices = body.if_contains("choices");
  if (choices == nullptr || !choices->is_array()) return event;
  for (const json::value& choice : choices->get_array()) {
    if (!choice.is_object()) continue;
    const json::object* delta = object_in(choice.get_object(), "delta");
    event.has_text = event.has_text || has_text(delta != nullptr ? *delta : choice.get_object());
  }
  return event;
}

std::string error_message_of(std::string_view body) {
  constexpr size_t kMost = 200;
  boost::system::error_code failed;
  const json::value value = json::parse(body, failed);
  const std::string message = !failed && value.is_object() ? message_in(value.get_object()) : "";
  return message.empty() ? std::string(body.substr(0, kMost)) : message;
}

}  // namespace terrace
