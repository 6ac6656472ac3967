// What one event of a streamed completion or chat says, whoever serves it. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace terrace {

struct StreamEvent {
  bool done = false;      // the end that OpenAI's API marks by [DONE]
  bool has_text = false;  // a piece of the answer, of its reasoning, or of a tool's call
  std::optional<int64_t> prompt_tokens, output_tokens, cached_tokens;  // where the event tells the usage
  std::string error;      // what the server says went wrong, or that it speaks something else
};

StreamEvent read_stream_event(std::string_view data);
/// The message of an error body as OpenAI's API has it, or a beginning of what stands there instead.
std::string error_message_of(std::string_view body);

}  // namespace terrace
