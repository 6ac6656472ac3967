#include "launcher/api/token_lists.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/field_reader.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::vector<int32_t> encode_prompt(const json::object& body, const Tokenizer& tokenizer) {
  FieldReader fields(body);
  fields.ignore("model");
  const std::string prompt = *fields.string("prompt");
  const bool add_bos = fields.boolean("add_special_tokens").value_or(true);
  fields.finish();
  try {
    return tokenizer.encode(prompt, {.add_bos = add_bos});
  } catch (const Error& error) {  // not UTF-8
    throw ApiError(400, error.what(), "prompt");
  }
}

}  // namespace

json::object tokenize_body(const json::object& body, const CompletionContext& context) {
  const json::value* prompt = body.if_contains("prompt");
  std::vector<int32_t> tokens;
  if (prompt != nullptr && prompt->is_string()) {
    tokens = encode_prompt(body, *context.tokenizer);
  } else if (body.contains("messages")) {
    tokens = read_completion_request(Endpoint::kChatCompletions, body, context).prompts.front();
  } else {
    throw ApiError(400, "the body has neither a 'prompt' (a string) nor 'messages'", "prompt");
  }
  return {{"tokens", json::array(tokens.begin(), tokens.end())}, {"count", tokens.size()}, {"max_model_len", context.max_sequence_tokens}};
}

json::object detokenize_body(const json::object& body, const Tokenizer& tokenizer) {
  FieldReader fields(body);
  fields.ignore("model");
  const json::value* list = fields.value("tokens");
  if (list == nullptr || !list->is_array()) fields.fail("tokens", "an array of token ids");
  fields.finish();
  std::vector<int32_t> tokens;
  for (const json::value& item : list->as_array()) {
    json::error_code error;
    const auto token = item.is_number() ? item.to_number<int32_t>(error) : -1;
    if (error || token < 0 || token >= tokenizer.vocab_size()) fields.fail("tokens", fmt::format("made of token ids from 0 to {}", tokenizer.vocab_size() - 1));
    tokens.push_back(token);
  }
  return {{"prompt", to_valid_utf8(tokenizer.decode(tokens, true))}};
}

}  // namespace terrace
