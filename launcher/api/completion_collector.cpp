#include "launcher/api/completion_collector.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <boost/json.hpp>
#include <span>

#include "launcher/api/api_error.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

namespace json = boost::json;

size_t num_characters(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char byte) { return (static_cast<unsigned char>(byte) & 0xC0) != 0x80; }));
}

template <typename T>
json::array to_json(const std::vector<T>& values) {
  return json::array(values.begin(), values.end());
}

// Where in the decoder's text, in characters, each token's own text begins.
std::vector<size_t> decoded_offsets(StreamDecoder decoder, const std::vector<int32_t>& tokens) {
  std::vector<size_t> offsets;
  size_t offset = 0;
  for (const int32_t token : tokens) {
    offsets.push_back(offset);
    offset += num_characters(decoder.push(token));
  }
  return offsets;
}

}  // namespace

CompletionCollector::CompletionCollector(const CompletionRequest& request, const Tokenizer& tokenizer) : request_(request), tokenizer_(tokenizer) {
  for (int32_t i = 0; i < request.num_choices(); ++i) choices_.emplace_back(output_decoder(), request.stop).calls = tool_calls(i);
}

// A completion continues its prompt; a chat's answer stands for itself.
StreamDecoder CompletionCollector::output_decoder() const {
  return StreamDecoder(tokenizer_, request_.endpoint == Endpoint::kChatCompletions, request_.form.shown_tokens);
}

// The ids of calls are those of prompt, seed and choice: the next turn of a chat has other ones, the same request the same.
std::optional<ToolCalls> CompletionCollector::tool_calls(int32_t index) const {
  if (!request_.form.calls) return std::nullopt;
  const std::vector<int32_t>& prompt = request_.prompts[static_cast<size_t>(index / request_.n)];
  const uint64_t seed = request_.base.sampling.seed + static_cast<uint64_t>(index);
  return ToolCalls(request_.form, XXH3_64bits_withSeed(prompt.data(), prompt.size() * sizeof prompt[0], seed));
}

bool CompletionCollector::accept(int32_t index, const SequenceEvent& event) {
  Choice& choice = choices_.at(static_cast<size_t>(index));
  if (choice.finish != FinishReason::kNone) return false;  // a late event of a cancelled sequence
  if (event.finish == FinishReason::kError) throw ApiError(400, event.error, request_.endpoint == Endpoint::kCompletions ? "prompt" : "messages");
  if (event.token >= 0 && request_.base.logprobs) choice.scored.push_back(event);
  if (event.token >= 0 && !event.is_prompt) {
    if (choice.tokens.empty()) choice.cached_tokens = event.sources.cached();
    choice.tokens.push_back(event.token);
    const bool is_end_token = event.finish == FinishReason::kStop;  // counted, but no text, whatever its bytes
    const std::string text = is_end_token ? std::string() : choice.decoder.push(event.token);
    choice.offsets.push_back(choice.num_characters);
    choice.num_characters += num_characters(text);
    const bool may_stop = choice.tokens.size() > static_cast<size_t>(request_.base.min_tokens);
    choice.say(may_stop ? choice.matcher.push(text) : text);
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
    choice.say(choice.matcher.push(choice.decoder.finish()));
    choice.say(choice.matcher.finish());
  }
  if (choice.calls) choice.text += choice.calls->finish();
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

int64_t CompletionCollector::cached_tokens() const {
  int64_t count = 0;
  for (size_t i = 0; i < choices_.size(); i += choices_.size() / request_.prompts.size()) count += choices_[i].cached_tokens;
  return count;
}

std::string CompletionCollector::prompt_text(size_t prompt_index) const {
  const std::string& given = request_.prompt_texts[prompt_index];
  if (!given.empty()) return given;
  StreamDecoder decoder(tokenizer_);
  std::string text;
  for (const int32_t token : request_.prompts[prompt_index]) text += decoder.push(token);
  return text + decoder.finish();
}

// A piece of a character is written as "bytes:\xE2\x82", as OpenAI does: JSON has no place for bytes, and U+FFFD would be the same for all.
std::string CompletionCollector::token_string(int32_t token) const {
  const std::string bytes = tokenizer_.token_bytes(token, true);
  if (find_invalid_utf8(bytes) == std::string::npos) return bytes;
  std::string text = "bytes:";
  for (const char byte : bytes) text += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
  return text;
}

// Where each prompt token begins in the prompt's text, in characters. Tokens that the text does not show (a BOS that the tokenizer added)
// take no room.
std::vector<size_t> CompletionCollector::prompt_offsets(size_t prompt_index) const {
  const std::vector<int32_t>& prompt = request_.prompts[prompt_index];
  if (request_.prompt_texts[prompt_index].empty()) return decoded_offsets(StreamDecoder(tokenizer_), prompt);
  std::string_view rest = request_.prompt_texts[prompt_index];
  size_t offset = 0;
  std::vector<size_t> offsets;
  for (const int32_t token : prompt) {
    offsets.push_back(offset);
    const std::string bytes = tokenizer_.token_bytes(token, true);
    std::string_view shown = bytes;
    if (!rest.starts_with(shown) && shown.starts_with(' ')) shown.remove_prefix(1);  // SentencePiece's space before the first word
    if (!rest.starts_with(shown)) continue;
    offset += num_characters(shown);
    rest.remove_prefix(shown.size());
  }
  return offsets;
}

json::value CompletionCollector::logprobs(const Choice& choice, int32_t index, size_t first_scored, size_t first_token) const {
  if (!request_.base.logprobs) return nullptr;
  if (request_.endpoint == Endpoint::kChatCompletions) return chat_logprobs(choice, first_scored);
  return completion_logprobs(choice, index, first_scored, first_token);
}

json::object CompletionCollector::completion_logprobs(const Choice& choice, int32_t index, size_t first_scored, size_t first_token) const {
  const auto prompt_index = static_cast<size_t>(index / request_.n);
  json::array tokens, token_logprobs, top_logprobs, text_offset;
  const std::vector<size_t> prompt_at = request_.echo ? prompt_offsets(prompt_index) : std::vector<size_t>();
  const size_t prompt_end = request_.echo ? num_characters(prompt_text(prompt_index)) : 0;
  auto next_prompt = 1 + static_cast<size_t>(std::ranges::count_if(std::span(choice.scored).first(first_scored), &SequenceEvent::is_prompt));
  if (request_.echo && first_scored == 0) {
    text_offset.emplace_back(prompt_at.front());
    tokens.emplace_back(token_string(request_.prompts[prompt_index].front()));  // which nothing precedes
    token_logprobs.emplace_back(nullptr);
    top_logprobs.emplace_back(nullptr);
  }
  for (const SequenceEvent& event : std::span(choice.scored).subspan(first_scored)) {
    text_offset.emplace_back(event.is_prompt ? prompt_at[next_prompt++] : prompt_end + choice.offsets[first_token++]);
    tokens.emplace_back(token_string(event.token));
    token_logprobs.emplace_back(event.logprob);
    json::object top;
    for (const TokenLogprob& alternative : event.top) top.emplace(token_string(alternative.token), alternative.logprob);
    top.emplace(token_string(event.token), event.logprob);  // as OpenAI: the token itself, also where it is not among the most likely
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

json::object CompletionCollector::chat_logprobs(const Choice& choice, size_t first_scored) const {
  json::array content;
  for (const SequenceEvent& event : std::span(choice.scored).subspan(first_scored)) {
    json::object entry = chat_logprob(event.token, event.logprob);
    json::array top;
    for (const TokenLogprob& alternative : event.top) top.emplace_back(chat_logprob(alternative.token, alternative.logprob));
    entry["top_logprobs"] = std::move(top);
    content.emplace_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

const char* CompletionCollector::finish_name(const Choice& choice) {
  if (choice.finish == FinishReason::kLength) return "length";
  return choice.finish == FinishReason::kStop && choice.calls && !choice.calls->empty() ? "tool_calls" : "stop";
}

json::object CompletionCollector::message(const Choice& choice) const {
  json::object message{{"role", "assistant"}, {"content", choice.text}};
  if (!choice.calls || choice.calls->empty()) return message;
  if (choice.text.empty()) message["content"] = nullptr;
  message["tool_calls"] = choice.calls->list();
  return message;
}

json::object CompletionCollector::choice_object(int32_t index) const {
  const Choice& choice = choices_[static_cast<size_t>(index)];
  const auto prompt_index = static_cast<size_t>(index / request_.n);
  json::object object;
  object["index"] = index;
  if (request_.endpoint == Endpoint::kChatCompletions) {
    object["message"] = message(choice);
  } else {
    object["text"] = request_.echo ? prompt_text(prompt_index) + choice.text : choice.text;
  }
  object["logprobs"] = logprobs(choice, index, 0, 0);
  object["finish_reason"] = finish_name(choice);
  if (request_.return_token_ids) object["token_ids"] = to_json(choice.tokens);
  return object;
}

json::object CompletionCollector::delta_object(int32_t index) {
  Choice& choice = choices_[static_cast<size_t>(index)];
  auto& sent = choice.sent;
  std::string text = choice.text.substr(sent.text);
  json::object object{{"index", index}};
  if (request_.endpoint == Endpoint::kChatCompletions) {
    json::object delta;
    if (!sent.opened) delta["role"] = "assistant";
    if (!sent.opened || !text.empty()) delta["content"] = std::move(text);
    if (choice.calls && choice.calls->has_news()) delta["tool_calls"] = choice.calls->take_deltas();
    object["delta"] = std::move(delta);
  } else {
    if (request_.echo && !sent.opened) text = prompt_text(static_cast<size_t>(index / request_.n)) + text;
    object["text"] = std::move(text);
  }
  const bool echoes = request_.echo && !sent.opened;  // the prompt's first token, which nothing scores
  object["logprobs"] = echoes || sent.scored < choice.scored.size() ? logprobs(choice, index, sent.scored, sent.tokens) : json::value(nullptr);
  object["finish_reason"] = choice.finish == FinishReason::kNone ? json::value(nullptr) : json::value(finish_name(choice));
  if (request_.return_token_ids) object["token_ids"] = json::array(choice.tokens.begin() + static_cast<ptrdiff_t>(sent.tokens), choice.tokens.end());
  sent = {.opened = true, .closed = choice.finish != FinishReason::kNone, .text = choice.text.size(), .tokens = choice.tokens.size(),
          .scored = choice.scored.size()};
  return object;
}

json::array CompletionCollector::take_deltas() {
  json::array deltas;
  for (int32_t i = 0; i < request_.num_choices(); ++i) {
    const Choice& choice = choices_[static_cast<size_t>(i)];
    const bool begins = !choice.sent.opened && !choice.tokens.empty();
    const bool calls = choice.calls && choice.calls->has_news();
    const bool says = choice.text.size() > choice.sent.text || choice.scored.size() > choice.sent.scored || calls;
    const bool ends = !choice.sent.closed && choice.finish != FinishReason::kNone;
    if (begins || says || ends) deltas.emplace_back(delta_object(i));
  }
  return deltas;
}

json::object CompletionCollector::usage() const {
  return {{"prompt_tokens", prompt_tokens()},
          {"completion_tokens", completion_tokens()},
          {"total_tokens", prompt_tokens() + completion_tokens()},
          {"prompt_tokens_details", json::object{{"cached_tokens", cached_tokens()}}}};
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
  body["usage"] = usage();
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
