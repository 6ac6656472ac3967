#include "launcher/api/completion_request.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <memory>

#include "launcher/api/api_error.h"
#include "runtime/text/chat_template.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::unique_ptr<Tokenizer> tokenizer_of(const TinyVocabulary& vocabulary) {
  const std::string bytes = vocabulary.bytes();
  return make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
}

constexpr const char* kTemplate = "{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no such role') }}{% endif %}"
                                  "<|im_start|>{{ m.content }}<|im_end|>{% endfor %}{% if tools %}T{{ tools | length }}{# <tool_call> #}{% endif %}"
                                  "{% if add_generation_prompt %}<|im_start|>{% endif %}{% if shout %}!{% endif %}";

class CompletionRequestTest : public ::testing::Test {
 protected:
  CompletionRequestTest() : tokenizer_(tokenizer_of(tiny_bpe("smollm"))), chat_template_(kTemplate, "<|im_start|>", "<|im_end|>") {
    context_.tokenizer = tokenizer_.get();
    context_.chat_template = &chat_template_;
    context_.defaults = {.temperature = 0.5, .top_p = 0.9, .top_k = 7, .min_p = 0.1};
    context_.max_sequence_tokens = 100;
    context_.default_seed = 1234;
  }

  CompletionRequest completion(const std::string& fields) const {
    const json::value body = json::parse("{" + fields + "}");
    return read_completion_request(Endpoint::kCompletions, body.as_object(), context_);
  }
  CompletionRequest chat(const std::string& fields) const {
    const json::value body = json::parse(R"({"messages": [{"role": "user", "content": "a"}])" + fields + "}");
    return read_completion_request(Endpoint::kChatCompletions, body.as_object(), context_);
  }
  // What `read` complains about: the field, then the sentence.
  template <typename Read>
  static void expect_refusal(Read read, const std::string& param, const std::string& message) {
    try {
      read();
      FAIL() << "expected a complaint about " << param;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      const json::object body = error.body().at("error").as_object();
      EXPECT_EQ(body.at("param").as_string(), param) << error.what();
      EXPECT_EQ(body.at("type"), "invalid_request_error");
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }
  void refused(const std::string& fields, const std::string& param, const std::string& message) const {
    SCOPED_TRACE(fields);
    expect_refusal([&] { completion(fields); }, param, message);
  }
  void chat_refused(const std::string& fields, const std::string& param, const std::string& message) const {
    SCOPED_TRACE(fields);
    expect_refusal([&] { chat(fields); }, param, message);
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  ChatTemplate chat_template_;
  CompletionContext context_;
};

TEST_F(CompletionRequestTest, FillsInTheDefaultsOfTheConfiguration) {
  const CompletionRequest request = completion(R"("prompt": "ab")");
  const Request base = request.choice(0);
  EXPECT_EQ(base.prompt, tokenizer_->encode("ab"));
  EXPECT_EQ(base.max_tokens, 16);
  EXPECT_EQ(base.min_tokens, 0);
  EXPECT_EQ(base.sampling.temperature, 0.5f);
  EXPECT_EQ(base.sampling.top_p, 0.9f);
  EXPECT_EQ(base.sampling.top_k, 7);
  EXPECT_EQ(base.sampling.min_p, 0.1f);
  EXPECT_EQ(base.sampling.seed, 1234u);
  EXPECT_EQ(base.sampling.repetition_penalty, 1.0f);
  EXPECT_EQ(base.stop_tokens, tokenizer_->end_tokens());
  EXPECT_FALSE(base.logprobs.has_value());
  EXPECT_FALSE(base.prompt_logprobs);
  EXPECT_EQ(request.num_choices(), 1);
}

TEST_F(CompletionRequestTest, TakesEveryField) {
  const CompletionRequest request = completion(R"("model": "m", "prompt": ["ab", [97, 98], "c"], "n": 2, "max_tokens": 9, "temperature": 0,
      "top_p": 0.25, "top_k": -1, "min_p": 0.5, "seed": -1, "stop": ["x", "y"], "logprobs": 20, "echo": true, "presence_penalty": -2,
      "frequency_penalty": 2, "repetition_penalty": 1.5, "logit_bias": {"5": -100, "7": 1}, "ignore_eos": true, "min_tokens": 9,
      "return_token_ids": true, "cache_salt": "tenant 7", "cache_priority": 100, "user": "u", "metadata": {"k": "v"}, "store": true, "service_tier": "auto", "stream": false)");
  EXPECT_EQ(request.model, "m");
  EXPECT_EQ(request.num_choices(), 6);
  EXPECT_EQ(request.choice(3).prompt, (std::vector<int32_t>{97, 98}));
  EXPECT_EQ(request.choice(3).sampling.choice, 3u);
  EXPECT_EQ(request.choice(5).prompt, tokenizer_->encode("c"));
  const Request base = request.choice(0);
  EXPECT_EQ(base.max_tokens, 9);
  EXPECT_EQ(base.min_tokens, 9);
  EXPECT_EQ(base.cache_salt, "tenant 7");
  EXPECT_EQ(base.cache_priority, 100);
  EXPECT_TRUE(base.sampling.greedy());
  EXPECT_EQ(base.sampling.top_k, 0);  // -1: all, as vLLM writes it
  EXPECT_EQ(base.sampling.seed, ~uint64_t{0});
  EXPECT_EQ(base.sampling.presence_penalty, -2.0f);
  EXPECT_EQ(base.sampling.frequency_penalty, 2.0f);
  EXPECT_EQ(base.sampling.repetition_penalty, 1.5f);
  EXPECT_EQ(base.sampling.logit_bias, (std::vector<std::pair<int32_t, float>>{{5, -100.0f}, {7, 1.0f}}));
  EXPECT_EQ(base.logprobs, 20);
  EXPECT_TRUE(base.prompt_logprobs);
  EXPECT_TRUE(base.stop_tokens.empty());
  EXPECT_EQ(request.stop, (std::vector<std::string>{"x", "y"}));
  EXPECT_TRUE(request.echo);
  EXPECT_TRUE(request.return_token_ids);
}

TEST_F(CompletionRequestTest, TakesNullForAFieldThatIsNotGiven) {
  const CompletionRequest request = completion(R"("prompt": "a", "stop": null, "seed": null, "logprobs": null, "max_tokens": null, "n": null)");
  EXPECT_EQ(request.base.max_tokens, 16);
  EXPECT_EQ(request.base.sampling.seed, 1234u);
  EXPECT_TRUE(request.stop.empty());
}

TEST_F(CompletionRequestTest, NamesTheFieldThatIsWrong) {
  refused(R"("max_tokens": 4)", "prompt", "'prompt' must be given");
  refused(R"("prompt": "")", "prompt", "at least one token");
  refused(R"("prompt": [])", "prompt", "at least one token");
  refused(R"("prompt": ["a", ""])", "prompt", "at least one token");
  refused(R"("prompt": 5)", "prompt", "a string, an array of token ids");
  refused(R"("prompt": ["a", 5])", "prompt", "a string, an array of token ids");
  refused(R"("prompt": [1, 100000])", "prompt", "token ids from 0 to 279");
  refused(R"("prompt": [1, -1])", "prompt", "token ids");
  refused(R"("prompt": [1.5])", "prompt", "token ids");
  refused(R"("prompt": [[["a"]]])", "prompt", "token ids");
  const std::string p = R"("prompt": "a", )";
  refused(p + R"("temperature": -0.1)", "temperature", "a number from 0 to 100");
  refused(p + R"("temperature": "hot")", "temperature", "a number");
  refused(p + R"("temperature": true)", "temperature", "a number");
  refused(p + R"("top_p": 1.01)", "top_p", "a number from 0 to 1");
  refused(p + R"("top_k": -2)", "top_k", "an integer from -1");
  refused(p + R"("top_k": 2.5)", "top_k", "an integer");
  refused(p + R"("min_p": 2)", "min_p", "from 0 to 1");
  refused(p + R"("presence_penalty": 2.1)", "presence_penalty", "from -2 to 2");
  refused(p + R"("frequency_penalty": -2.1)", "frequency_penalty", "from -2 to 2");
  refused(p + R"("repetition_penalty": 0)", "repetition_penalty", "from 0.01 to 100");
  refused(p + R"("seed": 1e30)", "seed", "an integer");
  refused(p + R"("cache_salt": 7)", "cache_salt", "a string");
  refused(p + R"("cache_priority": 101)", "cache_priority", "an integer from 0 to 100");
  refused(p + R"("n": 0)", "n", "an integer from 1 to 128");
  refused(p + R"("n": 129)", "n", "an integer from 1 to 128");
  std::string prompts = R"("prompt": ["a")";
  for (int i = 1; i < 20; ++i) prompts += R"(, "a")";
  EXPECT_EQ(completion(prompts + R"(], "n": 102)").num_choices(), 2040);
  refused(prompts + R"(], "n": 103)", "n", "at most 102 where there are 20 prompts");
  refused(p + R"("max_tokens": -1)", "max_tokens", "an integer from 0");
  refused(p + R"("max_tokens": 3, "max_completion_tokens": 4)", "max_tokens", "equal to max_completion_tokens");
  refused(p + R"("max_tokens": 3, "min_tokens": 4)", "min_tokens", "an integer from 0 to 3");
  refused(p + R"("logprobs": 21)", "logprobs", "an integer from 0 to 20");
  refused(p + R"("logprobs": true)", "logprobs", "an integer");
  refused(p + R"("stop": [""])", "stop", "none of them empty");
  refused(p + R"("stop": ["a", 1])", "stop", "strings");
  refused(p + R"("stop": {"a": 1})", "stop", "strings");
  refused(p + R"("stop": ["1","2","3","4","5","6","7","8","9","10","11","12","13","14","15","16","17"])", "stop", "at most 16");
  refused(p + R"("logit_bias": [1])", "logit_bias", "an object");
  refused(p + R"("logit_bias": {"280": 1})", "logit_bias", "token ids below 280");
  refused(p + R"("logit_bias": {"-1": 1})", "logit_bias", "token ids");
  refused(p + R"("logit_bias": {"5x": 1})", "logit_bias", "token ids");
  refused(p + R"("logit_bias": {"": 1})", "logit_bias", "token ids");
  refused(p + R"("logit_bias": {"5": 101})", "logit_bias", "from -100 to 100");
  refused(p + R"("logit_bias": {"5": "1"})", "logit_bias", "biases");
  refused(p + R"("echo": 1)", "echo", "true or false");
  refused(p + R"("ignore_eos": "no")", "ignore_eos", "true or false");
  refused(p + R"("return_token_ids": 1)", "return_token_ids", "true or false");
  refused(p + R"("stream": true)", "stream", "false");
  refused(p + R"("model": 5)", "model", "a string");
  refused(p + R"("messages": [])", "messages", "unknown field");
  refused(p + R"("top_logprobs": 2)", "top_logprobs", "unknown field 'top_logprobs'");
}

TEST_F(CompletionRequestTest, TakesWhatClientsSendBesideAndMeansNothingHere) {
  const std::string p = R"("prompt": "a", )";
  const CompletionRequest request = completion(p + R"("unknown": null, "safety_identifier": "x", "prompt_cache_key": "k", "prompt_cache_retention": "24h", "modalities": ["text"],
      "skip_special_tokens": true, "n": 2, "best_of": 2, "stop": "")");
  EXPECT_TRUE(request.stop.empty());
  EXPECT_EQ(request.n, 2);
  refused(p + R"("modalities": ["text", "audio"])", "modalities", "[\"text\"]");
  refused(p + R"("skip_special_tokens": false)", "skip_special_tokens", "true");
  refused(p + R"("best_of": 2)", "best_of", "equal to n");
  context_.serving = true;
  EXPECT_TRUE(completion(p + R"("stream": true, "stream_options": {"continuous_usage_stats": false})").stream);
  refused(p + R"("stream": true, "stream_options": {"continuous_usage_stats": true})", "stream_options.continuous_usage_stats", "false");
}

TEST_F(CompletionRequestTest, RefusesAPromptThatIsTooLongByNumbers) {
  const std::string prompt = R"("prompt": [)" + std::string("97, 97, 97, 97]");
  EXPECT_EQ(completion(prompt + R"(, "max_tokens": 96)").base.max_tokens, 96);
  try {
    completion(prompt + R"(, "max_tokens": 97)");
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.body().at("error").at("code"), "context_length_exceeded");
    EXPECT_NE(std::string(error.what()).find("maximum context length is 100 tokens"), std::string::npos) << error.what();
  }
}

TEST_F(CompletionRequestTest, NamesAnUnknownFieldAndTheOneThatWasMeant) {
  try {
    completion(R"("prompt": "a", "temprature": 0)");
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(std::string(error.what()), "unknown field 'temprature'; did you mean 'temperature'?");
    EXPECT_EQ(error.body().at("error").at("code"), "unknown_key");
  }
}

TEST_F(CompletionRequestTest, ChatRendersTheTemplateAndFillsTheContext) {
  const CompletionRequest request = chat("");
  EXPECT_EQ(request.prompt_texts.front(), "<|im_start|>a<|im_end|><|im_start|>");
  EXPECT_EQ(request.prompts.front(), tokenizer_->encode("<|im_start|>a<|im_end|><|im_start|>"));
  EXPECT_EQ(request.base.max_tokens, 100 - static_cast<int32_t>(request.prompts.front().size()));
  EXPECT_EQ(chat(R"(, "max_completion_tokens": 5)").base.max_tokens, 5);
  EXPECT_EQ(chat(R"(, "max_tokens": 6)").base.max_tokens, 6);
  EXPECT_EQ(chat(R"(, "add_generation_prompt": false)").prompt_texts.front(), "<|im_start|>a<|im_end|>");
  EXPECT_EQ(chat(R"(, "tools": [{"type": "function", "function": {"name": "f"}}], "chat_template_kwargs": {"shout": true})").prompt_texts.front(),
            "<|im_start|>a<|im_end|>T1<|im_start|>!");
}

TEST_F(CompletionRequestTest, ChatScoresTokensOnlyWhenAsked) {
  EXPECT_FALSE(chat("").base.logprobs.has_value());
  EXPECT_EQ(chat(R"(, "logprobs": true)").base.logprobs, 0);
  EXPECT_EQ(chat(R"(, "logprobs": true, "top_logprobs": 5)").base.logprobs, 5);
  chat_refused(R"(, "top_logprobs": 5)", "logprobs", "true where top_logprobs is given");
  chat_refused(R"(, "logprobs": 3)", "logprobs", "true or false");
  chat_refused(R"(, "logprobs": true, "top_logprobs": 21)", "top_logprobs", "from 0 to 20");
}

TEST_F(CompletionRequestTest, ChatNamesWhatIsWrongWithTheMessages) {
  const auto refuses = [&](const std::string& body, const std::string& message) {
    SCOPED_TRACE(body);
    expect_refusal([&] { read_completion_request(Endpoint::kChatCompletions, json::parse(body).as_object(), context_); }, "messages", message);
  };
  refuses(R"({})", "at least one message");
  refuses(R"({"messages": []})", "at least one message");
  refuses(R"({"messages": "hi"})", "at least one message");
  refuses(R"({"messages": ["hi"]})", "objects with a 'role'");
  refuses(R"({"messages": [{"content": "hi"}]})", "objects with a 'role'");
  refuses(R"({"messages": [{"role": "bad", "content": "hi"}]})", "no such role");
  chat_refused(R"(, "max_tokens": 0)", "max_tokens", "an integer from 1");
  chat_refused(R"(, "echo": true)", "echo", "unknown field");
  chat_refused(R"(, "prompt": "a")", "prompt", "unknown field");
  context_.chat_template = nullptr;
  refuses(R"({"messages": [{"role": "user", "content": "hi"}]})", "use /v1/completions");
}

TEST_F(CompletionRequestTest, KnowsTheEndpoints) {
  EXPECT_EQ(endpoint_of("/v1/completions"), Endpoint::kCompletions);
  EXPECT_EQ(endpoint_of("/v1/chat/completions"), Endpoint::kChatCompletions);
  EXPECT_EQ(endpoint_of("/v1/embeddings"), Endpoint::kEmbeddings);
  EXPECT_EQ(endpoint_of("/v1/embedding"), std::nullopt);
  EXPECT_EQ(endpoint_of(""), std::nullopt);
}

}  // namespace
}  // namespace terrace
