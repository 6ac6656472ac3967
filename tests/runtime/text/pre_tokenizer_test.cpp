#include "runtime/text/pre_tokenizer.h"

#include <gtest/gtest.h>

#include "runtime/text/pre_tokenizer_family.h"

namespace terrace {
namespace {

using Words = std::vector<std::string>;

Words split(std::string_view pre, std::string_view text) {
  const std::optional<PreTokenizerFamily> family = find_pre_tokenizer_family(pre);
  if (!family) return {"unknown family"};
  Words words;
  for (const std::string_view word : PreTokenizer(family->patterns).split(text)) words.emplace_back(word);
  return words;
}

TEST(PreTokenizerTest, LeavesTheLastSpaceToTheNextWord) {
  for (const char* pre : {"gpt-2", "smollm", "llama-bpe", "qwen2", "deepseek-v3", "gpt-4o", "tekken"}) {
    EXPECT_EQ(split(pre, "a   b"), (Words{"a", "  ", " b"})) << pre;
    EXPECT_EQ(split(pre, "a   "), (Words{"a", "   "})) << pre;
    EXPECT_EQ(split(pre, ""), Words{}) << pre;
  }
}

TEST(PreTokenizerTest, CutsDigitsAsTheFamilyDoes) {
  EXPECT_EQ(split("gpt-2", "x 12345"), (Words{"x", " 12345"}));
  EXPECT_EQ(split("smollm", "x 12345"), (Words{"x", " ", "1", "2", "3", "4", "5"}));
  EXPECT_EQ(split("llama-bpe", "x 12345"), (Words{"x", " ", "123", "45"}));
  EXPECT_EQ(split("qwen2", "x 12"), (Words{"x", " ", "1", "2"}));
  EXPECT_EQ(split("falcon", "x 12345"), (Words{"x", " ", "123", "45"}));
}

TEST(PreTokenizerTest, CutsContractionsAsTheFamilyDoes) {
  EXPECT_EQ(split("gpt-2", "it's IT'S"), (Words{"it", "'s", " IT", "'", "S"}));
  EXPECT_EQ(split("llama-bpe", "it's IT'S"), (Words{"it", "'s", " IT", "'S"}));
  EXPECT_EQ(split("gpt-4o", "it's IT'S"), (Words{"it's", " IT'S"}));
  EXPECT_EQ(split("tekken", "it's"), (Words{"it", "'s"}));
}

TEST(PreTokenizerTest, LatestFamiliesCutAtCapitalsAndKeepMarks) {
  EXPECT_EQ(split("gpt-4o", "camelCase HTTPServer"), (Words{"camel", "Case", " HTTPServer"}));
  EXPECT_EQ(split("tekken", "aÉ"), (Words{"a", "É"}));
  EXPECT_EQ(split("gpt-4o", "हिन्दी"), (Words{"हिन्दी"}));
  EXPECT_EQ(split("qwen35", "हिन्दी"), (Words{"हिन्दी"}));
  EXPECT_EQ(split("gpt-2", "e\u0301a"), (Words{"e", "\u0301", "a"}));
}

TEST(PreTokenizerTest, DeepseekCutsByScript) {
  EXPECT_EQ(split("deepseek-llm", "ab漢字12,  "), (Words{"ab", "漢字", "12", ",", "  "}));
  EXPECT_EQ(split("deepseek-llm", "a  b\n"), (Words{"a", " ", " b", "\n"}));
  EXPECT_EQ(split("deepseek-v3", "ab漢字1234"), (Words{"ab", "漢字", "123", "4"}));
}

// U+31350 became a letter in Unicode 15.0, after PCRE2 10.42; U+180E ceased to be a space in 6.3.
TEST(PreTokenizerTest, MeansUnicode15WhateverPcreKnows) {
  EXPECT_EQ(split("gpt-2", "a\U00031350b!"), (Words{"a\U00031350b", "!"}));
  EXPECT_EQ(split("gpt-4o", "a\U00031350b!"), (Words{"a\U00031350b", "!"}));
  EXPECT_EQ(split("gpt-2", "!\u180E!"), (Words{"!\u180E!"}));
  EXPECT_EQ(split("gpt-2", "!\u3000!"), (Words{"!", "\u3000", "!"}));
}

TEST(PreTokenizerTest, WordsOfEveryFamilyJoinToTheText) {
  const std::string text = "It's  Ünïcode: 語 12345\r\n\t\u00a0x\u0301 <|a|> HTTPServer's…\n\n \U0001F600.   ";
  const std::string names = known_pre_tokenizers() + ",";
  size_t families = 0;
  for (size_t begin = 0; begin < names.size(); begin = names.find_first_not_of(", ", names.find(',', begin))) {
    const std::string pre = names.substr(begin, names.find(',', begin) - begin);
    std::string joined;
    for (const std::string& word : split(pre, text)) {
      EXPECT_FALSE(word.empty()) << pre;
      joined += word;
    }
    EXPECT_EQ(joined, text) << pre;
    ++families;
  }
  EXPECT_GT(families, 40u);
}

}  // namespace
}  // namespace terrace
