// A request's texts, as OpenAI lets them be given: a string, an array of token ids, or an array of either. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/api/field_reader.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

struct PromptList {
  std::vector<std::vector<int32_t>> tokens;  // none empty
  std::vector<std::string> texts;            // empty strings for those given as ids
};

/// Reads the field `name` of at most `most` prompts. Throws ApiError(400).
PromptList read_prompts(FieldReader& fields, std::string_view name, size_t most, const Tokenizer& tokenizer);

}  // namespace terrace
