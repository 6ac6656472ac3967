// response_format, tools and tool_choice in the bodies of requests.
#include "launcher/api/answer_form.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "launcher/api/api_error.h"
#include "launcher/api/completion_request.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kTools = R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"x": {"type": "integer",
  "minimum": 1, "maximum": 9}}, "required": ["x"]}}}, {"type": "function", "function": {"name": "g"}}])";

class AnswerFormTest : public ::testing::Test {
 protected:
  AnswerFormTest() {
    TinyVocabulary vocabulary = tiny_bpe("smollm");
    vocabulary.add("[TOOL_CALLS]", 3);
    const std::string bytes = vocabulary.bytes();
    tokenizer_ = make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
    grammars_ = std::make_unique<GrammarCompiler>(*tokenizer_);
    use_template("<tool_call>");
    context_.tokenizer = tokenizer_.get();
    context_.grammars = grammars_.get();
    context_.max_sequence_tokens = 1000;
  }
  void SetUp() override {
    try {
      chat(R"("response_format": {"type": "json_object"})");
    } catch (const ApiError& error) {
      GTEST_SKIP() << error.what();  // built without xgrammar
    }
  }

  void use_template(const std::string& shows) {
    template_ = std::make_unique<ChatTemplate>("{{ messages[0].content }}{% if tools %}[{{ tools | length }} tools]{% endif %}{# " + shows + " #}", "", "");
    context_.chat_template = template_.get();
  }
  CompletionRequest chat(const std::string& fields) const {
    return read_completion_request(Endpoint::kChatCompletions, json::parse(R"({"messages": [{"role": "user", "content": "a"}], )" + fields + "}").as_object(), context_);
  }
  CompletionRequest completion(const std::string& fields) const {
    return read_completion_request(Endpoint::kCompletions, json::parse(R"({"prompt": "a", )" + fields + "}").as_object(), context_);
  }
  void refused(const std::string& fields, const std::string& param, const std::string& message, const std::string& code = "invalid_value") const {
    try {
      chat(fields);
      FAIL() << "expected a complaint about " << param << ": " << fields;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      EXPECT_EQ(error.body().at("error").at("param"), json::value(param)) << error.what();
      EXPECT_EQ(error.body().at("error").at("code"), json::value(code)) << error.what();
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }
  // Whether the grammar of the request takes `text` from beginning to end, where it may stop.
  bool takes(const CompletionRequest& request, const std::string& text) const {
    const auto constraint = request.choice(0).constraint;
    TokenMask mask;
    for (const int32_t token : tokenizer_->encode(text, {.add_bos = false})) {
      constraint->fill(mask);
      if (!mask.allows(token)) return false;
      constraint->accept(token);
    }
    constraint->fill(mask);
    return mask.may_end;
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<GrammarCompiler> grammars_;
  std::unique_ptr<ChatTemplate> template_;
  CompletionContext context_;
};

TEST_F(AnswerFormTest, TextIsFree) {
  EXPECT_EQ(chat(R"("response_format": {"type": "text"})").choice(0).constraint, nullptr);
  EXPECT_EQ(chat(R"("response_format": null)").choice(0).constraint, nullptr);
}

TEST_F(AnswerFormTest, JsonModeTakesAnyObject) {
  const CompletionRequest request = chat(R"("response_format": {"type": "json_object"})");
  EXPECT_TRUE(takes(request, R"({"a": [1, {"b": null}]})"));
  EXPECT_FALSE(takes(request, "[1]"));
  EXPECT_FALSE(takes(request, R"({"a": 1)"));
}

TEST_F(AnswerFormTest, ASchemaHoldsCompletionsToo) {
  const std::string fields = R"("n": 2, "response_format": {"type": "json_schema", "json_schema": {"name": "s", "strict": true, "description": "d", "schema":
    {"$defs": {"d": {"enum": ["hello"]}}, "type": "object", "properties": {"k": {"$ref": "#/$defs/d"}}, "required": ["k"], "additionalProperties": false}}})";
  for (const CompletionRequest& request : {chat(fields), completion(fields)}) {
    EXPECT_TRUE(takes(request, R"({"k": "hello"})"));
    EXPECT_FALSE(takes(request, R"({"k": "the"})"));
    EXPECT_FALSE(takes(request, R"({})"));
    EXPECT_NE(request.choice(0).constraint, request.choice(1).constraint);
  }
}

TEST_F(AnswerFormTest, WhatCannotBeEnforcedIsRefusedByName) {
  const auto schema = [](const std::string& text, const std::string& more = "") {
    return R"("response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": )" + text + more + "}}";
  };
  refused(schema(R"({"type": "foo"})"), "response_format", "Unsupported type");
  refused(schema(R"({"$ref": "#/nowhere"})"), "response_format", "nowhere");
  refused(schema("5"), "response_format.json_schema.schema", "a JSON schema");
  refused(schema(R"({"type": "array", "uniqueItems": true})", R"(, "strict": true)"), "response_format", "uniqueItems");
  refused(schema(R"({"type": "number", "multipleOf": 0.5})", R"(, "strict": true)"), "response_format", "multipleOf");
  EXPECT_NO_THROW(chat(schema(R"({"type": "array", "uniqueItems": true})")));
  refused(R"("response_format": {"type": "xml"})", "response_format.type", "json_schema");
  refused(R"("response_format": {"type": "json_schema", "json_schema": {"schema": {}}})", "response_format.json_schema.name", "given");
  refused(R"("response_format": {"type": "json_schema"})", "response_format.json_schema", "an object");
  refused(R"("response_format": {"type": "json_object", "schema": {}})", "response_format.schema", "unknown field", "unknown_key");
  refused(R"("response_format": 5)", "response_format", "an object");
}

TEST_F(AnswerFormTest, ToolsAreOfferedAndFoundButHoldNothing) {
  const CompletionRequest request = chat(kTools);
  EXPECT_EQ(request.prompt_texts.front(), "a[2 tools]");
  EXPECT_EQ(request.form.calls, ToolCallForm::kHermes);
  EXPECT_EQ(request.form.function_names, (std::vector<std::string>{"f", "g"}));
  EXPECT_EQ(request.form.grammar, nullptr);
  const CompletionRequest none = chat(kTools + std::string(R"(, "tool_choice": "none")"));
  EXPECT_EQ(none.prompt_texts.front(), "a");
  EXPECT_FALSE(none.form.calls);
}

TEST_F(AnswerFormTest, ARequiredCallIsOneOfTheFunctions) {
  const std::string f = "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 7}}\n</tool_call>";
  const std::string g = "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  const CompletionRequest required = chat(kTools + std::string(R"(, "tool_choice": "required")"));
  for (const std::string& text : {f, g, f + "\n" + g}) EXPECT_TRUE(takes(required, text)) << text;
  for (const char* text : {"", "hello", "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 10}}\n</tool_call>", "<tool_call>\n{\"name\": \"h"}) {
    EXPECT_FALSE(takes(required, text)) << text;
  }
  const CompletionRequest one = chat(kTools + std::string(R"(, "tool_choice": "required", "parallel_tool_calls": false)"));
  EXPECT_TRUE(takes(one, f));
  EXPECT_FALSE(takes(one, f + "\n" + g));
  const CompletionRequest named = chat(kTools + std::string(R"(, "tool_choice": {"type": "function", "function": {"name": "g"}})"));
  EXPECT_TRUE(takes(named, g));
  EXPECT_FALSE(takes(named, f));
  EXPECT_FALSE(takes(named, g + "\n" + g));
}

TEST_F(AnswerFormTest, EveryFormOfCallHasItsGrammar) {
  const std::string required = kTools + std::string(R"(, "tool_choice": "required")");
  use_template("<|start_header_id|> \"parameters\"");
  EXPECT_TRUE(takes(chat(required), R"({"name": "f", "parameters": {"x": 1}}; {"name": "g", "parameters": {}})"));
  use_template("[TOOL_CALLS]");
  const CompletionRequest mistral = chat(required);
  EXPECT_TRUE(takes(mistral, R"([TOOL_CALLS] [{"name": "f", "arguments": {"x": 1}}, {"name": "g", "arguments": {}}])"));
  EXPECT_TRUE(takes(mistral, R"([TOOL_CALLS][{"name": "f", "arguments": {"x": 1}}])"));
  ASSERT_EQ(mistral.form.shown_tokens.size(), 1u);  // a control token of this vocabulary
  EXPECT_EQ(tokenizer_->token_text(mistral.form.shown_tokens[0]), "[TOOL_CALLS]");
}

TEST_F(AnswerFormTest, StrictFunctionsHoldCallsInFreeText) {
  const std::string tools = R"("tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"type": "object", "properties": {"x": {"type":
    "boolean"}}, "required": ["x"], "additionalProperties": false}}}])";
  for (const char* shows : {"<tool_call>", "[TOOL_CALLS]"}) {
    use_template(shows);
    const CompletionRequest request = chat(tools);
    EXPECT_TRUE(takes(request, "hello, no call"));
    EXPECT_FALSE(takes(request, std::string("hello ") + shows + "the"));
  }
  use_template("<tool_call>");
  EXPECT_TRUE(takes(chat(tools), "hello <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": true}}\n</tool_call> the"));
  EXPECT_FALSE(takes(chat(tools), "hello <tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"));
  use_template("<|start_header_id|> \"parameters\"");
  refused(tools, "tools", "'strict' only with tool_choice", "model_unsupported");
}

TEST_F(AnswerFormTest, AFormatAndToolsTogetherAllowEither) {
  const std::string both = kTools + std::string(R"(, "response_format": {"type": "json_object"})");
  const std::string call = "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  EXPECT_TRUE(takes(chat(both), R"({"a": 1})"));
  EXPECT_TRUE(takes(chat(both), call));
  EXPECT_FALSE(takes(chat(both), "hello"));
  EXPECT_FALSE(takes(chat(both + R"(, "tool_choice": "required")"), R"({"a": 1})"));
}

TEST_F(AnswerFormTest, ToolsThatTheTemplateDoesNotShowNeedAGrammar) {
  use_template("");
  refused(kTools, "tools", "shows no tools", "model_unsupported");
  EXPECT_TRUE(takes(chat(kTools + std::string(R"(, "tool_choice": "required")")), "<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>"));
}

TEST_F(AnswerFormTest, WrongToolsAreRefusedByName) {
  refused(R"("tools": 5)", "tools", "an array");
  refused(R"("tools": [{"type": "retrieval"}])", "tools", "an array of");
  refused(R"("tools": [{"type": "function", "function": {}}])", "tools[0].function.name", "given");
  refused(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": []}}])", "tools[0].function.parameters", "a JSON schema");
  refused(R"("tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "foo"}}}], "tool_choice": "required")", "tools", "Unsupported type");
  refused(R"("tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": {"not": {}}}}])", "tools", "'not'");
  refused(R"("tool_choice": "auto")", "tool_choice", "no tools are given");
  refused(kTools + std::string(R"(, "tool_choice": "any")"), "tool_choice", "\"required\"");
  refused(kTools + std::string(R"(, "tool_choice": {"type": "function", "function": {"name": "h"}})"), "tool_choice", "one of the tools");
  refused(kTools + std::string(R"(, "parallel_tool_calls": 1)"), "parallel_tool_calls", "true or false");
}

}  // namespace
}  // namespace terrace
