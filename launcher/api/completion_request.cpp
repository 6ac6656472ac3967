#include "launcher/api/completion_request.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <limits>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/field_reader.h"
#include "launcher/api/prompt_list.h"
#include "runtime/text/chat_prompt.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr int32_t kMaxChoices = 128;
constexpr int32_t kMaxAllChoices = 2048;  // of all prompts: each is a sequence with a copy of its prompt
constexpr size_t kMaxPrompts = 1024;
constexpr int32_t kMaxTopLogprobs = 20;
constexpr size_t kMaxStops = 16;

void read_prompt(CompletionRequest& request, FieldReader& fields, const CompletionContext& context) {
  PromptList list = read_prompts(fields, "prompt", kMaxPrompts, *context.tokenizer);
  request.prompts = std::move(list.tokens);
  request.prompt_texts = std::move(list.texts);
}

void read_messages(CompletionRequest& request, FieldReader& fields, const CompletionContext& context) {
  json::object chat;
  const json::value* messages = fields.value("messages");
  if (messages == nullptr || !messages->is_array() || messages->as_array().empty()) fields.fail("messages", "an array of at least one message");
  for (const json::value& message : messages->as_array()) {
    const json::value* role = message.is_object() ? message.as_object().if_contains("role") : nullptr;
    if (role == nullptr || !role->is_string()) fields.fail("messages", "an array of objects with a 'role'");
  }
  chat["messages"] = *messages;
  for (const char* name : {"tools", "documents", "chat_template_kwargs"}) {
    if (const json::value* value = fields.value(name)) chat[name] = *value;
  }
  chat["add_generation_prompt"] = fields.boolean("add_generation_prompt").value_or(true);
  if (context.chat_template == nullptr) {
    throw ApiError(400, "the model carries no chat template: use /v1/completions", "messages", "model_unsupported");
  }
  request.form = read_chat_answer_form(fields, context.grammars, *context.chat_template, *context.tokenizer);
  if (!request.form.calls) chat.erase("tools");  // that may not be called
  try {
    request.prompt_texts.push_back(context.chat_template->render(chat, context.now_unix));
  } catch (const Error& error) {
    throw ApiError(400, fmt::format("the chat template refused the messages: {}", error.what()), "messages");
  }
  request.prompts.push_back(encode_chat_prompt(*context.tokenizer, request.prompt_texts.back()));
}

void read_stop(CompletionRequest& request, FieldReader& fields) {
  const json::value* stop = fields.value("stop");
  if (stop == nullptr || *stop == "") return;
  const json::array one = {*stop};
  const json::array& all = stop->is_array() ? stop->as_array() : one;
  for (const json::value& item : all) {
    if (!item.is_string() || item.as_string().empty() || all.size() > kMaxStops) {
      fields.fail("stop", fmt::format("a string or an array of at most {} strings, none of them empty", kMaxStops));
    }
    request.stop.emplace_back(item.as_string());
  }
}

void read_logit_bias(SamplingParams& sampling, FieldReader& fields, int32_t vocab_size) {
  const json::value* bias = fields.value("logit_bias");
  if (bias == nullptr) return;
  if (!bias->is_object()) fields.fail("logit_bias", "an object of token id: bias");
  for (const auto& [key, value] : bias->as_object()) {
    int32_t token = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), token);
    json::error_code number_error;
    const auto amount = value.to_number<double>(number_error);
    if (error != std::errc() || end != key.data() + key.size() || token < 0 || token >= vocab_size || number_error || amount < -100 || amount > 100) {
      fields.fail("logit_bias", fmt::format("an object of token ids below {} with biases from -100 to 100", vocab_size));
    }
    sampling.logit_bias.emplace_back(token, static_cast<float>(amount));
  }
}

void read_sampling(SamplingParams& sampling, FieldReader& fields, const CompletionContext& context) {
  const SamplingSection& defaults = context.defaults;
  sampling.temperature = static_cast<float>(fields.number("temperature", 0, 100).value_or(defaults.temperature));
  sampling.top_p = static_cast<float>(fields.number("top_p", 0, 1).value_or(defaults.top_p));
  const int64_t top_k = fields.integer("top_k", -1, std::numeric_limits<int32_t>::max()).value_or(defaults.top_k);
  sampling.top_k = static_cast<int32_t>(std::max<int64_t>(top_k, 0));
  sampling.min_p = static_cast<float>(fields.number("min_p", 0, 1).value_or(defaults.min_p));
  sampling.presence_penalty = static_cast<float>(fields.number("presence_penalty", -2, 2).value_or(0));
  sampling.frequency_penalty = static_cast<float>(fields.number("frequency_penalty", -2, 2).value_or(0));
  sampling.repetition_penalty = static_cast<float>(fields.number("repetition_penalty", 0.01, 100).value_or(1));
  const auto seed = fields.integer("seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max());
  sampling.seed = seed ? static_cast<uint64_t>(*seed) : context.default_seed;
  read_logit_bias(sampling, fields, context.tokenizer->vocab_size());
}

void read_logprobs(CompletionRequest& request, FieldReader& fields) {
  if (request.endpoint == Endpoint::kCompletions) {
    if (const auto count = fields.integer("logprobs", 0, kMaxTopLogprobs)) request.base.logprobs = static_cast<int32_t>(*count);
    return;
  }
  const bool wanted = fields.boolean("logprobs").value_or(false);
  const auto count = fields.integer("top_logprobs", 0, kMaxTopLogprobs);
  if (count && !wanted) fields.fail("logprobs", "true where top_logprobs is given");
  if (wanted) request.base.logprobs = static_cast<int32_t>(count.value_or(0));
}

void read_lengths(CompletionRequest& request, FieldReader& fields, const CompletionContext& context) {
  constexpr int64_t kMost = std::numeric_limits<int32_t>::max() / 2;
  const bool chat = request.endpoint == Endpoint::kChatCompletions;
  auto max_tokens = fields.integer("max_completion_tokens", chat ? 1 : 0, kMost);
  const auto older_name = fields.integer("max_tokens", chat ? 1 : 0, kMost);
  if (max_tokens && older_name && *max_tokens != *older_name) fields.fail("max_tokens", "equal to max_completion_tokens where both are given");
  if (!max_tokens) max_tokens = older_name;
  size_t longest = 0;
  for (const auto& prompt : request.prompts) longest = std::max(longest, prompt.size());
  const int64_t rest = std::max<int64_t>(context.max_sequence_tokens - static_cast<int64_t>(longest), 1);
  request.base.max_tokens = static_cast<int32_t>(max_tokens.value_or(chat ? rest : 16));
  if (static_cast<int64_t>(longest) + request.base.max_tokens > context.max_sequence_tokens) {
    throw ApiError(400, fmt::format("the model's maximum context length is {} tokens, and a prompt of {} tokens with max_tokens {} exceeds it",
                                    context.max_sequence_tokens, longest, request.base.max_tokens),
                   chat ? "messages" : "prompt", "context_length_exceeded");
  }
  request.base.min_tokens = static_cast<int32_t>(fields.integer("min_tokens", 0, request.base.max_tokens).value_or(0));
}

// What clients send in the one setting that holds here anyway.
void read_fixed(const CompletionRequest& request, FieldReader& fields) {
  if (!fields.boolean("skip_special_tokens").value_or(true)) fields.fail("skip_special_tokens", "true");
  if (fields.integer("best_of", 1, kMaxChoices).value_or(request.n) != request.n) fields.fail("best_of", "equal to n");
  const json::value* modalities = fields.value("modalities");
  if (modalities != nullptr && *modalities != json::array{"text"}) fields.fail("modalities", R"(["text"])");
}

void read_stream(CompletionRequest& request, FieldReader& fields, const CompletionContext& context) {
  request.stream = fields.boolean("stream").value_or(false);
  if (request.stream && !context.serving) fields.fail("stream", "false: a batch line has no stream");
  const json::value* options = fields.value("stream_options");
  if (options == nullptr) return;
  if (!request.stream || !options->is_object()) fields.fail("stream_options", "an object, beside stream: true");
  FieldReader inner(options->as_object(), "stream_options.");
  request.include_usage = inner.boolean("include_usage").value_or(false);
  inner.ignore("include_obfuscation");  // padding against eavesdroppers on token lengths, which we do not add
  if (inner.boolean("continuous_usage_stats").value_or(false)) inner.fail("continuous_usage_stats", "false: the last chunk has the usage");
  inner.finish();
}

}  // namespace

Request CompletionRequest::choice(int32_t index) const {
  Request request = base;
  request.prompt = prompts[static_cast<size_t>(index / n)];
  request.sampling.choice = static_cast<uint32_t>(index);
  if (form.grammar) request.constraint = form.grammar->start();
  return request;
}

CompletionRequest read_completion_request(Endpoint endpoint, const json::object& body, const CompletionContext& context) {
  FieldReader fields(body);
  CompletionRequest request;
  request.endpoint = endpoint;
  request.model = fields.string("model").value_or("");
  for (const char* ignored : {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "prompt_cache_retention"}) fields.ignore(ignored);
  read_stream(request, fields, context);
  if (context.serving) request.queueing = read_queueing(fields);
  try {
    endpoint == Endpoint::kCompletions ? read_prompt(request, fields, context) : read_messages(request, fields, context);
  } catch (const Error& error) {  // the tokenizer's: a chat's text that is not UTF-8
    throw ApiError(400, error.what(), "messages");
  }
  request.n = static_cast<int32_t>(fields.integer("n", 1, kMaxChoices).value_or(1));
  if (request.num_choices() > kMaxAllChoices) {
    const size_t prompts = request.prompts.size();
    fields.fail("n", fmt::format("at most {} where there are {} prompts, so that there are at most {} choices", kMaxAllChoices / prompts, prompts, kMaxAllChoices));
  }
  read_fixed(request, fields);
  read_lengths(request, fields, context);
  read_sampling(request.base.sampling, fields, context);
  read_logprobs(request, fields);
  read_stop(request, fields);
  if (!fields.boolean("ignore_eos").value_or(false)) request.base.stop_tokens = context.tokenizer->end_tokens();
  if (endpoint == Endpoint::kCompletions) {
    request.form = read_answer_form(fields, context.grammars);
    request.echo = fields.boolean("echo").value_or(false);
  }
  request.base.prompt_logprobs = request.echo && request.base.logprobs.has_value();
  read_cache_fields(fields, request.base);
  request.return_token_ids = fields.boolean("return_token_ids").value_or(false);
  fields.finish();
  return request;
}

}  // namespace terrace
