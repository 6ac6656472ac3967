// Between a model's chat template and its tokenizer: the template out of the GGUF, and the ids of a rendered chat.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "runtime/text/chat_template.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

/// nullptr where the model carries no template (tokenizer.chat_template).
std::unique_ptr<ChatTemplate> read_chat_template(const GgufFile& file, const Tokenizer& tokenizer);

/// Special tokens in `rendered` are taken as such, and no second BOS is put before one that the template wrote.
std::vector<int32_t> encode_chat_prompt(const Tokenizer& tokenizer, std::string_view rendered);

}  // namespace terrace
