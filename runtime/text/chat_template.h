// The model's chat template (Jinja source from its GGUF): a chat request in, the exact prompt text out. Immutable: any thread.
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

  /// `request` has "messages" and may have "tools", "documents", "add_generation_prompt", "chat_template_kwargs".
  /// `now_unix` (seconds, local time zone of the process) is what strftime_now sees.
  std::string render(const boost::json::value& request, int64_t now_unix) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
