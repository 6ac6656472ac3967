#include "launcher/api/prompt_list.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::vector<int32_t> read_token_ids(const json::array& array, std::string_view name, const Tokenizer& tokenizer, const FieldReader& fields) {
  std::vector<int32_t> ids;
  for (const json::value& item : array) {
    json::error_code error;
    const auto id = item.to_number<int32_t>(error);
    if (error || id < 0 || id >= tokenizer.vocab_size()) fields.fail(name, fmt::format("made of token ids from 0 to {}", tokenizer.vocab_size() - 1));
    ids.push_back(id);
  }
  return ids;
}

std::vector<int32_t> encode(const std::string& text, std::string_view name, const Tokenizer& tokenizer) {
  try {
    return tokenizer.encode(text);
  } catch (const Error& error) {  // not UTF-8
    throw ApiError(400, error.what(), std::string(name));
  }
}

void add_prompt(PromptList& list, const json::value& prompt, std::string_view name, const Tokenizer& tokenizer, const FieldReader& fields) {
  if (prompt.is_string()) {
    list.texts.emplace_back(prompt.as_string());
    list.tokens.push_back(encode(list.texts.back(), name, tokenizer));
  } else if (prompt.is_array()) {
    list.texts.emplace_back();
    list.tokens.push_back(read_token_ids(prompt.as_array(), name, tokenizer, fields));
  } else {
    fields.fail(name, "a string, an array of token ids, or an array of either");
  }
  if (list.tokens.back().empty()) fields.fail(name, "at least one token long");
}

}  // namespace

PromptList read_prompts(FieldReader& fields, std::string_view name, size_t most, const Tokenizer& tokenizer) {
  const json::value* given = fields.value(name);
  if (given == nullptr) fields.fail(name, "given");
  PromptList list;
  const bool many = given->is_array() && !given->as_array().empty() && !given->as_array().front().is_number();
  if (!many) {
    add_prompt(list, *given, name, tokenizer, fields);
    return list;
  }
  const json::array& all = given->as_array();
  if (all.size() > most) fields.fail(name, fmt::format("an array of at most {}, not of {}", most, all.size()));
  for (const json::value& item : all) add_prompt(list, item, name, tokenizer, fields);
  return list;
}

}  // namespace terrace
