// How a model writes its calls of functions, and the grammar of an answer that must be calls. Models are trained on the form that their chat template shows.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/api/tool_choice.h"
#include "runtime/text/tokenizer.h"

namespace terrace {

enum class ToolCallForm {
  kHermes,   // <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>, one after another (Hermes, Qwen)
  kLlama3,   // {"name": "f", "parameters": {...}}; ..., perhaps after <|python_tag|>
  kMistral,  // [TOOL_CALLS] [{"name": "f", "arguments": {...}}, ...]
};

/// nullopt for a template that shows no tools, or in a form that terrace does not read.
std::optional<ToolCallForm> tool_call_form(std::string_view chat_template);

/// Control tokens that are part of the form, if the vocabulary has such: the only ones that answers show as text.
std::vector<int32_t> marker_tokens(ToolCallForm form, const Tokenizer& tokenizer);

/// For GrammarCompiler: one call of the functions of `choice`, or more where they may be parallel, and nothing else.
boost::json::object tool_call_grammar(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer);

/// For GrammarCompiler: any text, but calls in it are as tool_call_grammar() has them. nullopt where nothing marks the beginning of a call (Llama 3).
std::optional<boost::json::object> text_with_tool_calls_grammar(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer);

}  // namespace terrace
