// The form of the answers to a request: the grammar that holds them to it, and the calls of functions that are to be found in them.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launcher/api/field_reader.h"
#include "launcher/api/tool_call_form.h"
#include "launcher/grammar/grammar_compiler.h"
#include "runtime/text/chat_template.h"

namespace terrace {

struct AnswerForm {
  std::shared_ptr<const Grammar> grammar;   // nullptr: any text
  std::optional<ToolCallForm> calls;        // that the text may hold
  std::vector<std::string> function_names;  // that may be called
  std::vector<int32_t> shown_tokens;        // control tokens that are part of calls
};

/// Reads response_format. Throws ApiError(400), also where `grammars` is nullptr and a grammar is needed.
AnswerForm read_answer_form(FieldReader& fields, GrammarCompiler* grammars);
/// Reads tools and tool_choice too.
AnswerForm read_chat_answer_form(FieldReader& fields, GrammarCompiler* grammars, const ChatTemplate& chat_template, const Tokenizer& tokenizer);

}  // namespace terrace
