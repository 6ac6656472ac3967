#include "launcher/api/completion_collector.h"

#include <boost/json.hpp>

#include "launcher/api/api_error.h"

namespace terrace {
namespace {

namespace json = boost::json;

const char* reason_name(FinishReason reason) { return reason == FinishReason::kLength ? "length" : "stop"; }

json::array to_json(const std::vector<int32_t>& ids) { return json::array(ids.begin(), ids.end()); }

}  // namespace

CompletionCollector::CompletionCollector(const CompletionRequest& request, const Tokenizer& tokenizer) : request_(request), tokenizer_(tokenizer) {
  for (int32_t i = 0; i < request.num_choices(); ++i) choices_.emplace_back(tokenizer, request.stop);
}

bool CompletionCollector::accept(int32_t index, const SequenceEvent& event) {
  Choice& choice = choices_.at(static_cast<size_t>(index));
  if (choice.finish != FinishReason::kNone) return false;  // a late event of a cancelled sequence
  if (event.finish == FinishReason::kError) throw ApiError(400, event.error, request_.endpoint == Endpoint::kCompletions ? "prompt" : "messages");
  if (event.token >= 0 && request_.base.logprobs) choice.scored.push_back(event);
  if (event.token >= 0 && !event.is_prompt) {
    choice.tokens.push_back(event.token);
    choice.text += choice.matcher.push(choice.decoder.push(event.token));
    if (choice.matcher.stopped()) {
      finish(choice, FinishReason::kStop);
      return event.finish == FinishReason::kNone;
    }
  }
  if (event.finish != FinishReason::kNone) finish(choice, event.finish);
  return false;
}

void CompletionCollector::finish(Choice& choice, FinishReason reason) {
  if (!choice.matcher.stopped()) {
    choice.text += choice.matcher.push(choice.decoder.finish());
    choice.text += choice.matcher.finish();
  }
  choice.finish = reason;
  ++num_finished_;
}

int64_t CompletionCollector::prompt_tokens() const {
  int64_t count = 0;
  for (const auto& prompt : request_.prompts) count += static_cast<int64_t>(prompt.size());
  return count;
}

int64_t CompletionCollector::completion_tokens() const {
  int64_t count = 0;
  for (const Choice& choice : choices_) count += static_cast<int64_t>(choice.tokens.size());
  return count;
}

std::string CompletionCollector::token_string(int32_t token) const {
  const std::string special = tokenizer_.token_bytes(token, true);
  if (tokenizer_.token_bytes(token, false).empty()) return special;  // a control token: its name
  StreamDecoder decoder(tokenizer_);                                 // a piece of a character shows as U+FFFD
  return decoder.push(token) + decoder.finish();
}

json::object CompletionCollector::completion_logprobs(const Choice& choice, int32_t index) const {
  json::array tokens, token_logprobs, top_logprobs, text_offset;
  size_t offset = 0;
  const auto add = [&](int32_t token) {
    tokens.emplace_back(token_string(token));
    text_offset.emplace_back(offset);
    offset += tokenizer_.token_bytes(token, false).size();
  };
  if (request_.echo) {  // nothing precedes the first prompt token
    add(request_.prompts[static_cast<size_t>(index / request_.n)].front());
    token_logprobs.emplace_back(nullptr);
    top_logprobs.emplace_back(nullptr);
  }
  for (const SequenceEvent& event : choice.scored) {
    add(event.token);
    token_logprobs.emplace_back(event.logprob);
    json::object top;
    for (const TokenLogprob& alternative : event.top) top.emplace(token_string(alternative.token), alternative.logprob);
    top_logprobs.emplace_back(std::move(top));
  }
  return {{"tokens", std::move(tokens)}, {"token_logprobs", std::move(token_logprobs)}, {"top_logprobs", std::move(top_logprobs)},
          {"text_offset", std::move(text_offset)}};
}

json::object CompletionCollector::chat_logprob(int32_t token, float logprob) const {
  json::array bytes;
  for (const char byte : tokenizer_.token_bytes(token, true)) bytes.emplace_back(static_cast<unsigned char>(byte));
  return {{"token", token_string(token)}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
}

json::object CompletionCollector::chat_logprobs(const Choice& choice) const {
  json::array content;
  for (const SequenceEvent& event : choice.scored) {
    json::object entry = chat_logprob(event.token, event.logprob);
    json::array top;
    for (const TokenLogprob& alternative : event.top) top.emplace_back(chat_logprob(alternative.token, alternative.logprob));
    entry["top_logprobs"] = std::move(top);
    content.emplace_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

json::object CompletionCollector::choice_object(int32_t index) const {
  const Choice& choice = choices_[static_cast<size_t>(index)];
  const auto prompt_index = static_cast<size_t>(index / request_.n);
  json::object object;
  object["index"] = index;
  if (request_.endpoint == Endpoint::kChatCompletions) {
    object["message"] = json::object{{"role", "assistant"}, {"content", choice.text}};
    object["logprobs"] = request_.base.logprobs ? json::value(chat_logprobs(choice)) : json::value(nullptr);
  } else {
    std::string text = choice.text;
    if (request_.echo) {
      const std::string& given = request_.prompt_texts[prompt_index];
      text = (given.empty() ? tokenizer_.decode(request_.prompts[prompt_index], false) : given) + text;
    }
    object["text"] = std::move(text);
    object["logprobs"] = request_.base.logprobs ? json::value(completion_logprobs(choice, index)) : json::value(nullptr);
  }
  object["finish_reason"] = reason_name(choice.finish);
  if (request_.return_token_ids) object["token_ids"] = to_json(choice.tokens);
  return object;
}

json::object CompletionCollector::response(const std::string& id, const std::string& model, int64_t created) const {
  const bool chat = request_.endpoint == Endpoint::kChatCompletions;
  json::array choices;
  for (int32_t i = 0; i < request_.num_choices(); ++i) choices.emplace_back(choice_object(i));
  json::object body;
  body["id"] = id;
  body["object"] = chat ? "chat.completion" : "text_completion";
  body["created"] = created;
  body["model"] = model;
  body["choices"] = std::move(choices);
  body["usage"] = json::object{{"prompt_tokens", prompt_tokens()},
                               {"completion_tokens", completion_tokens()},
                               {"total_tokens", prompt_tokens() + completion_tokens()},
                               {"prompt_tokens_details", json::object{{"cached_tokens", 0}}}};
  if (request_.return_token_ids) {
    if (request_.prompts.size() == 1) {
      body["prompt_token_ids"] = to_json(request_.prompts.front());
    } else {
      json::array lists;
      for (const auto& prompt : request_.prompts) lists.emplace_back(to_json(prompt));
      body["prompt_token_ids"] = std::move(lists);
    }
  }
  return body;
}

}  // namespace terrace
