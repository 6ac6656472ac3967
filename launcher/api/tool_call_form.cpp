#include "launcher/api/tool_call_form.h"

#include <utility>

#include "launcher/grammar/json_format.h"

namespace terrace {
namespace {

namespace json = boost::json;

// What is written around calls; see ToolCallForm.
struct Syntax {
  std::vector<std::string> markers;  // the first begins a call, or the list of them
  std::string arguments_key;
  std::string separator;
};

Syntax syntax_of(ToolCallForm form) {
  if (form == ToolCallForm::kLlama3) return {{"<|python_tag|>"}, ", \"parameters\": ", "; "};
  if (form == ToolCallForm::kMistral) return {{"[TOOL_CALLS]"}, ", \"arguments\": ", ", "};
  return {{"<tool_call>", "</tool_call>"}, ", \"arguments\": ", "\n"};
}

json::object literal(std::string text) { return {{"type", "const_string"}, {"value", std::move(text)}}; }

json::object sequence(json::array elements) { return {{"type", "sequence"}, {"elements", std::move(elements)}}; }

// A control token has no text that a grammar could match: it is matched as itself.
std::optional<int32_t> control_token(const std::string& text, const Tokenizer& tokenizer) {
  const std::vector<int32_t> ids = tokenizer.encode(text, {.add_bos = false, .parse_special = true});
  if (ids.size() == 1 && tokenizer.token_bytes(ids[0], false).empty() && tokenizer.token_bytes(ids[0], true) == text) return ids[0];
  return std::nullopt;
}

json::object marker(const std::string& text, const Tokenizer& tokenizer) {
  const std::optional<int32_t> token = control_token(text, tokenizer);
  return token ? json::object{{"type", "token"}, {"token", *token}} : literal(text);
}

// {"name": "f", "arguments": {...}} of any of the functions
json::object call_objects(const Syntax& syntax, const ToolChoice& choice) {
  json::array calls;
  for (const ToolFunction& function : choice.functions) {
    const std::string begin = "{\"name\": " + json::serialize(json::value(function.name)) + syntax.arguments_key;
    calls.push_back(sequence({literal(begin), json_format(function.parameters), literal("}")}));
  }
  if (calls.size() == 1) return calls.front().as_object();
  return {{"type", "or"}, {"elements", std::move(calls)}};
}

json::object repeated(json::object call, const std::string& separator, bool parallel) {
  if (!parallel) return call;
  json::object more = {{"type", "star"}, {"content", sequence({literal(separator), call})}};
  return sequence({std::move(call), std::move(more)});
}

// What follows the first marker, up to the end of the call or of the list.
json::object after_marker(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer) {
  const Syntax syntax = syntax_of(form);
  json::object calls = call_objects(syntax, choice);
  if (form == ToolCallForm::kHermes) return sequence({literal("\n"), std::move(calls), literal("\n"), marker(syntax.markers[1], tokenizer)});
  const json::object space = {{"type", "optional"}, {"content", literal(" ")}};  // templates differ in it
  return sequence({space, literal("["), repeated(std::move(calls), syntax.separator, choice.parallel), literal("]")});
}

}  // namespace

std::optional<ToolCallForm> tool_call_form(std::string_view chat_template) {
  const auto has = [&](std::string_view text) { return chat_template.find(text) != std::string_view::npos; };
  if (!has("tools") || has("<function=")) return std::nullopt;  // the latter: XML, of Qwen3-Coder
  if (has("<tool_call>")) return ToolCallForm::kHermes;
  if (has("[TOOL_CALLS]")) return ToolCallForm::kMistral;
  if (has("<|start_header_id|>") && has("\"parameters\"")) return ToolCallForm::kLlama3;
  return std::nullopt;
}

std::vector<int32_t> marker_tokens(ToolCallForm form, const Tokenizer& tokenizer) {
  std::vector<int32_t> tokens;
  for (const std::string& text : syntax_of(form).markers) {
    if (const std::optional<int32_t> token = control_token(text, tokenizer)) tokens.push_back(*token);
  }
  return tokens;
}

json::object tool_call_grammar(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer) {
  const Syntax syntax = syntax_of(form);
  if (form == ToolCallForm::kLlama3) return repeated(call_objects(syntax, choice), syntax.separator, choice.parallel);
  json::object calls = sequence({marker(syntax.markers.front(), tokenizer), after_marker(form, choice, tokenizer)});
  return form == ToolCallForm::kHermes ? repeated(std::move(calls), syntax.separator, choice.parallel) : calls;
}

std::optional<json::object> text_with_tool_calls_grammar(ToolCallForm form, const ToolChoice& choice, const Tokenizer& tokenizer) {
  if (form == ToolCallForm::kLlama3) return std::nullopt;
  const std::string begin = syntax_of(form).markers.front();
  const std::optional<int32_t> token = control_token(begin, tokenizer);
  json::array rule = {token ? json::value(*token) : json::value(begin), after_marker(form, choice, tokenizer)};
  const bool loop = form == ToolCallForm::kHermes && choice.parallel;
  json::array rules;  // not json::array{rule}: compilers differ on whether that is the rule itself (CWG 2137)
  rules.push_back(std::move(rule));
  return json::object{{"type", token ? "token_dispatch" : "dispatch"}, {"rules", std::move(rules)}, {"loop", loop}};
}

}  // namespace terrace
