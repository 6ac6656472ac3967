#include "launcher/grammar/grammar_compiler.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <random>

#include "kernels/base/error.h"
#include "launcher/grammar/json_format.h"
#include "runtime/text/utf8.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kPerson = R"({"type": "object", "properties": {"name": {"type": "string", "maxLength": 6},
  "age": {"type": "integer", "minimum": 0, "maximum": 130}, "tags": {"type": "array", "items": {"enum": ["the", "hello"]}, "maxItems": 2}},
  "required": ["name", "age"], "additionalProperties": false})";

class GrammarCompilerTest : public ::testing::Test {
 protected:
  GrammarCompilerTest() {
    const std::string bytes = tiny_bpe("smollm").bytes();
    tokenizer_ = make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
    compiler_ = std::make_unique<GrammarCompiler>(*tokenizer_);
    try {
      compiler_->compile(json_format(true), false);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kModelUnsupported) without_xgrammar_ = true;
    }
  }
  void SetUp() override {
    if (without_xgrammar_) GTEST_SKIP() << "built without xgrammar";
  }

  std::shared_ptr<TokenConstraint> start(const std::string& schema) { return compiler_->compile(json_format(json::parse(schema)), false)->start(); }
  static TokenMask mask_of(TokenConstraint& constraint) {
    TokenMask mask;
    constraint.fill(mask);
    return mask;
  }
  // Accepts the tokens of `text`, each of which its mask must allow.
  TokenMask after(TokenConstraint& constraint, const std::string& text) {
    for (const int32_t token : tokenizer_->encode(text, {.add_bos = false})) {
      EXPECT_TRUE(mask_of(constraint).allows(token)) << tokenizer_->token_text(token) << " in " << text;
      constraint.accept(token);
    }
    return mask_of(constraint);
  }
  bool allows(const TokenMask& mask, const std::string& text) {
    return mask.allows(tokenizer_->encode(text, {.add_bos = false}).front());
  }
  std::string problem(const json::object& format, bool strict = false) {
    try {
      compiler_->compile(format, strict);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
      return error.what();
    }
    return "";
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<GrammarCompiler> compiler_;
  bool without_xgrammar_ = false;
};

TEST_F(GrammarCompilerTest, MasksExcludeWhatTheSchemaForbids) {
  const auto constraint = start(kPerson);
  TokenMask mask = mask_of(*constraint);
  EXPECT_TRUE(allows(mask, "{"));
  for (const char* wrong : {"[", "\"", "a", "1", "hello"}) EXPECT_FALSE(allows(mask, wrong)) << wrong;
  mask = after(*constraint, R"({"name":"hello )");
  EXPECT_TRUE(allows(mask, "\""));
  EXPECT_FALSE(after(*constraint, "").may_end);
  mask = after(*constraint, R"(","age":)");
  EXPECT_TRUE(allows(mask, "1"));
  EXPECT_FALSE(allows(mask, "-"));
  EXPECT_FALSE(allows(mask, "\""));
  mask = after(*constraint, "13");
  EXPECT_TRUE(allows(mask, "0"));
  EXPECT_FALSE(allows(mask, "1"));  // over the maximum
  mask = after(*constraint, "0}");
  EXPECT_TRUE(mask.may_end);
  EXPECT_TRUE(mask.empty());
}

TEST_F(GrammarCompilerTest, ControlAndEndTokensAreInNoMask) {
  const auto constraint = start(R"({"type": "string"})");
  const TokenMask mask = after(*constraint, "\"the");
  for (int32_t token = 0; token < tokenizer_->vocab_size(); ++token) {
    const bool is_control = tokenizer_->token_bytes(token, false).empty();
    EXPECT_FALSE(is_control && mask.allows(token)) << tokenizer_->token_text(token);
  }
  EXPECT_TRUE(allows(mask, "hello"));
  EXPECT_FALSE(mask.allows(tokenizer_->vocab_size()));
  const TokenMask at_end = after(*constraint, "\"");
  EXPECT_TRUE(at_end.may_end);
  for (const int32_t end : tokenizer_->end_tokens()) EXPECT_FALSE(at_end.allows(end));
}

TEST_F(GrammarCompilerTest, EveryStartIsAStateOfItsOwn) {
  const auto grammar = compiler_->compile(json_format(json::parse(kPerson)), true);
  const auto first = grammar->start();
  const auto second = grammar->start();
  after(*first, R"({"name":)");
  EXPECT_TRUE(allows(mask_of(*second), "{"));
  EXPECT_FALSE(allows(mask_of(*first), "{"));
}

TEST_F(GrammarCompilerTest, WalksAtRandomAlwaysEndInTextThatParses) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    std::mt19937 random(seed);
    const auto constraint = start(kPerson);
    std::string text;
    for (int i = 0; i < 500; ++i) {
      const TokenMask mask = mask_of(*constraint);
      std::vector<int32_t> allowed;
      for (int32_t token = 0; token < tokenizer_->vocab_size(); ++token) {
        if (mask.allows(token)) allowed.push_back(token);
      }
      if (allowed.empty()) break;
      const int32_t token = allowed[random() % allowed.size()];
      text += tokenizer_->token_bytes(token, false);
      constraint->accept(token);
    }
    json::error_code error;
    const json::value value = json::parse(to_valid_utf8(text), error);  // a grammar lets surrogates through: the decoder does not
    ASSERT_FALSE(error) << error.message() << ": " << json::serialize(json::string(text));
    const json::object& person = value.as_object();
    EXPECT_TRUE(person.at("name").is_string()) << text;
    EXPECT_LE(person.at("age").as_int64(), 130) << text;
    for (const json::value& tag : person.contains("tags") ? person.at("tags").as_array() : json::array()) EXPECT_TRUE(tag == "the" || tag == "hello") << text;
  }
}

TEST_F(GrammarCompilerTest, SaysWhatIsWrongWithAFormat) {
  EXPECT_NE(problem(json_format({{"type", "foo"}})).find("foo"), std::string::npos);
  EXPECT_NE(problem(json_format({{"$ref", "#/nowhere"}})).find("nowhere"), std::string::npos);
  EXPECT_NE(problem(json_format({{"type", "string"}, {"pattern", "(("}})).find("parenthesis"), std::string::npos);
  EXPECT_NE(problem(json_format(false)), "");
  EXPECT_NE(problem({{"type", "no such format"}}), "");
  EXPECT_NE(problem(json_format({{"type", "string"}, {"pattern", std::string(300000, 'a')}})).find("longer than"), std::string::npos);
  EXPECT_NE(problem(json_format({{"type", "string"}, {"pattern", std::string(2000, '(').append(2000, ')')}})).find("deeper"), std::string::npos);
  EXPECT_NE(problem(json_format({{"anyOf", json::array(600, json::object{{"$ref", "#"}})}})).find("references"), std::string::npos);
}

TEST_F(GrammarCompilerTest, WhatIsLeftOutIsRefusedWhereStrict) {
  const json::object format = json_format({{"type", "number"}, {"multipleOf", 0.5}});
  EXPECT_EQ(problem(format, false), "");
  EXPECT_NE(problem(format, true).find("multipleOf"), std::string::npos);  // also from the cache
}

TEST_F(GrammarCompilerTest, FindsKeywordsThatNoGrammarFollowsWhereverTheyStand) {
  EXPECT_EQ(unenforced_keyword(json::parse(kPerson)), std::nullopt);
  EXPECT_EQ(unenforced_keyword(json::parse(R"({"properties": {"not": {"type": "string"}}, "default": {"not": 1}, "uniqueItems": false})")), std::nullopt);
  EXPECT_EQ(unenforced_keyword(json::parse(R"({"properties": {"a": {"anyOf": [{}, {"items": {"not": {}}}]}}})")), "not");
  EXPECT_EQ(unenforced_keyword(json::parse(R"({"$defs": {"a": {"uniqueItems": true}}})")), "uniqueItems");
}

}  // namespace
}  // namespace terrace
