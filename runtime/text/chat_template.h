// The model's chat template (Jinja source from its GGUF): a chat request in, the exact prompt text out. Immutable: any
// thread.
//
// The language and its semantics are Python jinja2's, set up as transformers' apply_chat_template does; what a template
// sees are these variables:
// - messages: as prepare_messages (chat_messages.h) makes them from the request's;
// - tools, documents: as given, else none; add_generation_prompt: as given, else false;
// - bos_token, eos_token, where the model has them (an empty one is left undefined);
// - every other member of the request, as transformers passes keyword arguments on (enable_thinking, ...), and every
//   member of its "chat_template_kwargs", which win. The caller drops members that templates should not see.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <memory>
#include <string>

namespace terrace {

class ChatTemplate {
 public:
  /// Throws kInvalidValue with the line where the source does not parse.
  ChatTemplate(std::string source, std::string bos_token, std::string eos_token);
  ~ChatTemplate();

  /// `request` is an object with "messages", a list of objects. `now_unix` (seconds, shown in the local time zone of
  /// the process) is what strftime_now sees. Throws kInvalidValue, with the template's line, where the template raises
  /// or passes a limit (jinja/runtime.h), or naming the member of the request that is wrong.
  std::string render(const boost::json::value& request, int64_t now_unix) const;
  const std::string& source() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
