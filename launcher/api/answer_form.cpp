#include "launcher/api/answer_form.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/response_format.h"
#include "launcher/api/tool_choice.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::shared_ptr<const Grammar> compile(GrammarCompiler* grammars, const json::object& format, bool strict, const std::string& field) {
  if (grammars == nullptr) throw ApiError(400, fmt::format("'{}' needs a grammar, which this command has none for", field), field, "model_unsupported");
  try {
    return grammars->compile(format, strict);
  } catch (const Error& error) {
    throw ApiError(400, fmt::format("'{}' cannot be enforced: {}", field, error.what()), field, std::string(error_code_name(error.code())));
  }
}

// nullopt: the calls need no grammar.
std::optional<json::object> call_format(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer, bool any_text) {
  if (choice.use == ToolUse::kRequired) return tool_call_grammar(form, choice, tokenizer);
  if (!any_text) return tool_call_grammar(form, choice, tokenizer);
  if (std::ranges::none_of(choice.functions, &ToolFunction::strict)) return std::nullopt;
  std::optional<json::object> format = text_with_tool_calls_grammar(form, choice, tokenizer);
  if (format) return format;
  throw ApiError(400, "a function can be 'strict' only with tool_choice 'required' or its name: nothing marks where this model's calls begin", "tools",
                 "model_unsupported");
}

}  // namespace

AnswerForm read_answer_form(FieldReader& fields, GrammarCompiler* grammars) {
  AnswerForm form;
  if (const auto format = read_response_format(fields)) form.grammar = compile(grammars, format->format, format->strict, "response_format");
  return form;
}

AnswerForm read_chat_answer_form(FieldReader& fields, GrammarCompiler* grammars, const ChatTemplate& chat_template, const Tokenizer& tokenizer) {
  const ToolChoice choice = read_tool_choice(fields);
  const std::optional<ResponseFormat> text = read_response_format(fields);
  AnswerForm form;
  if (text) form.grammar = compile(grammars, text->format, text->strict, "response_format");
  if (choice.use == ToolUse::kNone) return form;
  form.calls = tool_call_form(chat_template.source());
  if (!form.calls && choice.use == ToolUse::kAuto) {
    throw ApiError(400, "the model's chat template shows no tools in a form that terrace reads, so it would call none: tool_choice 'required' or a function's "
                        "name makes it do so", "tools", "model_unsupported");
  }
  if (!form.calls) form.calls = ToolCallForm::kHermes;
  for (const ToolFunction& function : choice.functions) form.function_names.push_back(function.name);
  form.shown_tokens = marker_tokens(*form.calls, tokenizer);
  const bool strict = std::ranges::any_of(choice.functions, &ToolFunction::strict);
  if (auto calls = call_format(*form.calls, choice, tokenizer, !text)) {
    const bool either = text && choice.use == ToolUse::kAuto;
    const auto grammar = compile(grammars, *calls, strict, "tools");
    form.grammar = either ? compile(grammars, {{"type", "or"}, {"elements", json::array{text->format, *calls}}}, false, "tools") : grammar;
  }
  return form;
}

}  // namespace terrace
