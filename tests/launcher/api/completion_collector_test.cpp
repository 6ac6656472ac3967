#include "launcher/api/completion_collector.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <memory>

#include "launcher/api/api_error.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::unique_ptr<Tokenizer> tokenizer_of(const TinyVocabulary& vocabulary) {
  const std::string bytes = vocabulary.bytes();
  return make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
}

class CompletionCollectorTest : public ::testing::Test {
 protected:
  CompletionCollectorTest() : tokenizer_(tokenizer_of(tiny_bpe("smollm"))) {
    request_.prompt_texts = {"ab"};
    request_.prompts = {tokenizer_->encode("ab")};
  }

  static SequenceEvent event(int32_t token, FinishReason finish = FinishReason::kNone) {
    SequenceEvent event;
    event.token = token;
    event.logprob = -0.5f;
    event.top = {{token, -0.5f}};
    event.finish = finish;
    return event;
  }
  // Gives the tokens of `text` to choice `index`, the last one with `finish`; returns whether a stop string was met on the way.
  bool give(CompletionCollector& collector, int32_t index, const std::string& text, FinishReason finish = FinishReason::kNone) {
    const std::vector<int32_t> tokens = tokenizer_->encode(text);
    bool stopped = false;
    for (size_t i = 0; i < tokens.size() && !stopped; ++i) {
      stopped = collector.accept(index, event(tokens[i], i + 1 == tokens.size() ? finish : FinishReason::kNone));
    }
    return stopped;
  }
  static json::object response(const CompletionCollector& collector) { return collector.response("id", "m", 5); }
  static json::object choice(const CompletionCollector& collector, size_t index = 0) {
    return response(collector).at("choices").at(index).as_object();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  CompletionRequest request_;
};

TEST_F(CompletionCollectorTest, AnswersACompletion) {
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "hello");
  EXPECT_FALSE(collector.done());
  give(collector, 0, " the", FinishReason::kLength);
  EXPECT_TRUE(collector.done());
  const json::object body = response(collector);
  EXPECT_EQ(body.at("id"), "id");
  EXPECT_EQ(body.at("object"), "text_completion");
  EXPECT_EQ(body.at("created"), 5);
  EXPECT_EQ(body.at("model"), "m");
  const json::value expected = json::parse(R"([{"index": 0, "text": "hello the", "logprobs": null, "finish_reason": "length"}])");
  EXPECT_EQ(body.at("choices"), expected) << json::serialize(body);
  EXPECT_EQ(body.at("usage"), json::parse(R"({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3,
                                              "prompt_tokens_details": {"cached_tokens": 0}})"));
}

TEST_F(CompletionCollectorTest, AnswersAChat) {
  request_.endpoint = Endpoint::kChatCompletions;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "hello<|im_end|>", FinishReason::kStop);
  EXPECT_EQ(response(collector).at("object"), "chat.completion");
  const json::object only = choice(collector);
  EXPECT_EQ(only.at("message"), json::parse(R"({"role": "assistant", "content": "hello"})"));
  EXPECT_EQ(only.at("finish_reason"), "stop");
  EXPECT_EQ(collector.completion_tokens(), 2);  // the end token counts
}

TEST_F(CompletionCollectorTest, CutsAtTheFirstStopStringWhereverTokensEnd) {
  request_.stop = {"lo t", "zzz"};
  CompletionCollector collector(request_, *tokenizer_);
  EXPECT_TRUE(give(collector, 0, "hello the hello"));
  EXPECT_TRUE(collector.done());
  EXPECT_FALSE(collector.accept(0, event(97, FinishReason::kLength)));  // a late event changes nothing
  EXPECT_EQ(choice(collector).at("text"), "hel");
  EXPECT_EQ(choice(collector).at("finish_reason"), "stop");
}

TEST_F(CompletionCollectorTest, AStopStringEndsNothingBeforeMinTokens) {
  request_.stop = {"hello"};
  request_.base.min_tokens = 2;
  CompletionCollector collector(request_, *tokenizer_);
  EXPECT_FALSE(give(collector, 0, "hello the"));  // two tokens
  EXPECT_TRUE(give(collector, 0, " hello"));
  EXPECT_EQ(choice(collector).at("text"), "hello the ");
}

TEST_F(CompletionCollectorTest, WhatAStopStringHeldBackComesAtTheEnd) {
  request_.stop = {"the end"};
  CompletionCollector collector(request_, *tokenizer_);
  EXPECT_FALSE(give(collector, 0, "hello the", FinishReason::kLength));
  EXPECT_EQ(choice(collector).at("text"), "hello the");
}

TEST_F(CompletionCollectorTest, AnEndTokenThatHasTextShowsNone) {
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "hello");
  collector.accept(0, event(tokenizer_->encode("[TOOL]").front(), FinishReason::kStop));
  EXPECT_EQ(choice(collector).at("text"), "hello");
}

TEST_F(CompletionCollectorTest, KeepsSeveralPromptsAndChoicesApart) {
  request_.prompts = {{97, 98}, {99}};
  request_.prompt_texts = {"", ""};
  request_.n = 2;
  request_.echo = true;
  request_.return_token_ids = true;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 3, "3", FinishReason::kLength);
  give(collector, 1, "1", FinishReason::kLength);
  give(collector, 0, "0", FinishReason::kLength);
  EXPECT_FALSE(collector.done());
  give(collector, 2, "22", FinishReason::kLength);
  EXPECT_TRUE(collector.done());
  const char* texts[] = {"ab0", "ab1", "c22", "c3"};
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(choice(collector, i).at("index"), i);
    EXPECT_EQ(choice(collector, i).at("text"), texts[i]);
  }
  EXPECT_EQ(choice(collector, 2).at("token_ids"), json::parse("[50, 50]"));
  EXPECT_EQ(response(collector).at("prompt_token_ids"), json::parse("[[97, 98], [99]]"));
  EXPECT_EQ(collector.prompt_tokens(), 3);  // each prompt once
  EXPECT_EQ(collector.completion_tokens(), 5);
}

TEST_F(CompletionCollectorTest, EchoWithoutNewTokensGivesThePromptsLogprobs) {
  request_.prompt_texts = {"hello the"};
  request_.prompts = {tokenizer_->encode("hello the")};
  request_.echo = true;
  request_.base.logprobs = 1;
  request_.base.max_tokens = 0;
  CompletionCollector collector(request_, *tokenizer_);
  SequenceEvent scored = event(request_.prompts[0][1]);
  scored.is_prompt = true;
  scored.top = {{97, -0.25f}};
  collector.accept(0, scored);
  collector.accept(0, event(-1, FinishReason::kLength));
  ASSERT_TRUE(collector.done());
  const json::object only = choice(collector);
  EXPECT_EQ(only.at("text"), "hello the");
  EXPECT_EQ(only.at("finish_reason"), "length");
  EXPECT_EQ(only.at("logprobs"), json::parse(R"({"tokens": ["hello", " the"], "token_logprobs": [null, -0.5],
                                                 "top_logprobs": [null, {"a": -0.25, " the": -0.5}], "text_offset": [0, 5]})"));
  EXPECT_EQ(collector.completion_tokens(), 0);
}

TEST_F(CompletionCollectorTest, AStreamedEchoOfOneTokenHasItsLogprobs) {
  request_.echo = true;
  request_.base.logprobs = 1;
  request_.base.max_tokens = 0;
  ASSERT_EQ(request_.prompts[0].size(), 1u);
  CompletionCollector collector(request_, *tokenizer_);
  collector.accept(0, event(-1, FinishReason::kLength));
  const json::array deltas = collector.take_deltas();
  ASSERT_EQ(deltas.size(), 1u);
  EXPECT_EQ(deltas[0].at("logprobs"), choice(collector).at("logprobs"));
  EXPECT_EQ(deltas[0].at("logprobs").at("tokens"), json::array({"ab"}));
}

TEST_F(CompletionCollectorTest, TextOffsetsCountCharactersOfTheText) {
  request_.base.logprobs = 0;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "é€a<|im_end|>", FinishReason::kStop);  // é is one token, € three
  const json::value logprobs = choice(collector).at("logprobs");
  EXPECT_EQ(logprobs.at("tokens"), json::parse(R"(["é", "bytes:\\xe2", "bytes:\\x82", "bytes:\\xac", "a", "<|im_end|>"])"));
  EXPECT_EQ(logprobs.at("text_offset"), json::parse("[0, 1, 1, 1, 2, 3]"));
}

TEST_F(CompletionCollectorTest, TextOffsetsFollowTheEchoedPrompt) {
  const auto spm = tokenizer_of(tiny_spm());
  request_.prompt_texts = {"hello the"};
  request_.prompts = {spm->encode("hello the")};
  ASSERT_EQ(request_.prompts[0].size(), 3u);  // <s>, ▁hello, ▁the
  request_.echo = true;
  request_.base.logprobs = 0;
  CompletionCollector collector(request_, *spm);
  for (const size_t i : {1u, 2u}) {
    SequenceEvent scored = event(request_.prompts[0][i]);
    scored.is_prompt = true;
    collector.accept(0, scored);
  }
  collector.accept(0, event(request_.prompts[0][2], FinishReason::kLength));
  const json::object only = choice(collector);
  EXPECT_EQ(only.at("text"), "hello the the");  // the space before the first new word is the model's
  EXPECT_EQ(only.at("logprobs").at("text_offset"), json::parse("[0, 0, 5, 9]"));
}

TEST_F(CompletionCollectorTest, ChatLogprobsCarryBytesAndAlternatives) {
  request_.endpoint = Endpoint::kChatCompletions;
  request_.base.logprobs = 1;
  CompletionCollector collector(request_, *tokenizer_);
  collector.accept(0, event(0xE2, FinishReason::kLength));
  const json::object only = choice(collector);
  EXPECT_EQ(only.at("message").at("content"), "\xEF\xBF\xBD");
  EXPECT_EQ(only.at("logprobs"), json::parse(R"({"content": [{"token": "bytes:\\xe2", "logprob": -0.5, "bytes": [226],
                                                 "top_logprobs": [{"token": "bytes:\\xe2", "logprob": -0.5, "bytes": [226]}]}]})"));
}

TEST_F(CompletionCollectorTest, TokenIdsThatAreNoTextStillEchoValidJson) {
  request_.prompts = {{0xE2, 97}};
  request_.prompt_texts = {""};
  request_.echo = true;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "b", FinishReason::kLength);
  json::error_code error;
  json::parse(json::serialize(response(collector)), error);
  EXPECT_FALSE(error) << error.message();
  EXPECT_EQ(choice(collector).at("text"), "\xEF\xBF\xBD" "ab");
}

TEST_F(CompletionCollectorTest, ARefusedSequenceIsTheClientsError) {
  CompletionCollector collector(request_, *tokenizer_);
  SequenceEvent refused;
  refused.finish = FinishReason::kError;
  refused.error = "the prompt is too long";
  try {
    collector.accept(0, refused);
    FAIL();
  } catch (const ApiError& error) {
    EXPECT_EQ(error.status(), 400);
    EXPECT_STREQ(error.what(), "the prompt is too long");
  }
}

TEST_F(CompletionCollectorTest, ToolCallsAreTakenOutOfAChatsText) {
  request_.endpoint = Endpoint::kChatCompletions;
  request_.form.calls = ToolCallForm::kHermes;
  request_.n = 2;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "hello\n<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>\n<tool_call>{\"name\": \"g\"}</tool_call>");
  collector.accept(0, event(tokenizer_->eos_token(), FinishReason::kStop));
  give(collector, 1, "hello", FinishReason::kLength);
  const json::object first = choice(collector, 0);
  EXPECT_EQ(first.at("finish_reason"), "tool_calls");
  EXPECT_EQ(first.at("message").at("content"), "hello");
  const json::array& calls = first.at("message").at("tool_calls").as_array();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].at("type"), "function");
  EXPECT_EQ(calls[0].at("function"), json::parse(R"({"name": "f", "arguments": "{\"x\": 1}"})"));
  EXPECT_EQ(calls[1].at("function"), json::parse(R"({"name": "g", "arguments": "{}"})"));
  EXPECT_TRUE(std::string(calls[0].at("id").as_string()).starts_with("call_"));
  EXPECT_NE(calls[0].at("id"), calls[1].at("id"));
  EXPECT_EQ(choice(collector, 1).at("message"), json::parse(R"({"role": "assistant", "content": "hello"})"));
  EXPECT_EQ(choice(collector, 1).at("finish_reason"), "length");
}

TEST_F(CompletionCollectorTest, AnAnswerOfCallsAloneHasNoContent) {
  request_.endpoint = Endpoint::kChatCompletions;
  request_.form.calls = ToolCallForm::kMistral;
  CompletionCollector collector(request_, *tokenizer_);
  give(collector, 0, "[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {}}]", FinishReason::kLength);
  const json::value message = choice(collector).at("message");
  EXPECT_TRUE(message.at("content").is_null());
  EXPECT_EQ(message.at("tool_calls").at(0).at("id").as_string().size(), 9u);  // what Mistral's templates take
  EXPECT_EQ(choice(collector).at("finish_reason"), "length");
}

TEST(ToolCallsTest, DeltasOfAStreamJoinToTheWhole) {
  AnswerForm form;
  form.calls = ToolCallForm::kHermes;
  ToolCalls calls(form, 7);
  std::string arguments;
  EXPECT_EQ(calls.push("hi <tool_call>{\"na"), "hi");
  EXPECT_TRUE(calls.take_deltas().empty());
  calls.push("me\": \"f\", \"arguments\": {\"x");
  const json::array first = calls.take_deltas();
  EXPECT_EQ(first, json::array({{{"index", 0}, {"id", calls.list().at(0).at("id")}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", "{\"x"}}}}}));
  EXPECT_TRUE(calls.take_deltas().empty());
  calls.push("\": 1}}</tool_call>");
  EXPECT_EQ(calls.take_deltas(), json::parse(R"([{"index": 0, "function": {"arguments": "\": 1}"}}])"));
  EXPECT_EQ(calls.list().at(0).at("function").at("arguments"), "{\"x\": 1}");
}

}  // namespace
}  // namespace terrace
