#include "runtime/text/chat_prompt.h"

#include <optional>
#include <string>

namespace terrace {
namespace {

std::string text_of(const Tokenizer& tokenizer, int32_t token) { return token < 0 ? "" : tokenizer.token_text(token); }

}  // namespace

std::unique_ptr<ChatTemplate> read_chat_template(const GgufFile& file, const Tokenizer& tokenizer) {
  const std::optional<std::string_view> source = file.find_string("tokenizer.chat_template");
  if (!source) return nullptr;
  return std::make_unique<ChatTemplate>(std::string(*source), text_of(tokenizer, tokenizer.bos_token()),
                                        text_of(tokenizer, tokenizer.eos_token()));
}

std::vector<int32_t> encode_chat_prompt(const Tokenizer& tokenizer, std::string_view rendered) {
  const std::string bos = text_of(tokenizer, tokenizer.bos_token());
  const bool has_bos = !bos.empty() && rendered.starts_with(bos);
  return tokenizer.encode(rendered, {.add_bos = !has_bos, .parse_special = true});
}

}  // namespace terrace
