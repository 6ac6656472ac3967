#include "runtime/text/tokenizer.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "kernels/base/error.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

/// A tokenizer and the bytes that its file was read from.
struct Loaded {
  explicit Loaded(const TinyVocabulary& vocabulary)
      : bytes(vocabulary.bytes()),
        tokenizer(make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"))) {}
  std::vector<std::string> texts(std::string_view text, const EncodeOptions& options = {}) const {
    std::vector<std::string> all;
    for (const int32_t token : tokenizer->encode(text, options)) all.push_back(tokenizer->token_text(token));
    return all;
  }
  const Tokenizer* operator->() const { return tokenizer.get(); }

  std::string bytes;
  std::unique_ptr<Tokenizer> tokenizer;
};

ErrorCode code_of(const TinyVocabulary& vocabulary) {
  try {
    const Loaded loaded(vocabulary);
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("tiny.gguf"), std::string::npos) << error.what();
    return error.code();
  }
  ADD_FAILURE() << "no error";
  return ErrorCode::kInternal;
}

using Texts = std::vector<std::string>;

TEST(BpeTokenizerTest, MergesWithinWordsBestRankFirst) {
  const Loaded bpe(tiny_bpe("gpt-2"));
  EXPECT_EQ(bpe.texts("the the hello"), (Texts{"the", "Ġthe", "Ġhello"}));
  EXPECT_EQ(bpe.texts("aaaaa"), (Texts{"aaaa", "a"}));  // the leftmost of equal merges first
  EXPECT_EQ(bpe.texts("é"), (Texts{"Ã©"}));
  EXPECT_EQ(bpe.texts(""), Texts{});
}

TEST(BpeTokenizerTest, SmollmSplitsDigitsOneByOne) {
  EXPECT_EQ(Loaded(tiny_bpe("smollm")).texts("a 123"), (Texts{"a", "Ġ", "1", "2", "3"}));
  EXPECT_EQ(Loaded(tiny_bpe("gpt-2")).texts("a 123"), (Texts{"a", "Ġ", "123"}));
}

TEST(BpeTokenizerTest, Llama3TakesAWordOfTheVocabularyWhole) {
  TinyVocabulary vocabulary = tiny_bpe("llama-bpe");
  vocabulary.add("Ġxyz");  // no merges lead to it
  vocabulary.pre = "gpt-2";
  EXPECT_EQ(Loaded(vocabulary).texts("a xyz"), (Texts{"a", "Ġ", "x", "y", "z"}));
  vocabulary.pre = "llama-bpe";
  EXPECT_EQ(Loaded(vocabulary).texts("a xyz"), (Texts{"a", "Ġxyz"}));
}

TEST(BpeTokenizerTest, AddsBosAndEosAsTheFileSays) {
  TinyVocabulary vocabulary = tiny_bpe("gpt-2");
  vocabulary.flags = {{"add_bos_token", true}, {"add_eos_token", true}};
  const Loaded bpe(vocabulary);
  EXPECT_EQ(bpe.texts("the"), (Texts{"<|im_start|>", "the", "<|im_end|>"}));
  EXPECT_EQ(bpe.texts("the", {.add_bos = false}), (Texts{"the"}));
  vocabulary.flags.clear();
  EXPECT_EQ(Loaded(vocabulary).texts("the"), (Texts{"the"}));
  vocabulary.pre = "llama-bpe";  // the family adds one where the file is silent
  EXPECT_EQ(Loaded(vocabulary).texts("the"), (Texts{"<|im_start|>", "the"}));
}

TEST(BpeTokenizerTest, SpecialTokensAreTextUnlessParsed) {
  const Loaded bpe(tiny_bpe("gpt-2"));
  EXPECT_EQ(bpe.texts("<|im_start|>the<|im_end|>"), (Texts{"<|im_start|>", "the", "<|im_end|>"}));
  const std::vector<int32_t> plain = bpe->encode("<|im_start|>[TOOL]", {.parse_special = false});
  EXPECT_EQ(plain.size(), std::string("<|im_start|>").size() + 1);  // user-defined tokens are split out always
  EXPECT_EQ(bpe->decode(plain, false), "<|im_start|>[TOOL]");
  const std::vector<int32_t> parsed = bpe->encode("<|im_start|>a<|im_end|>");
  EXPECT_EQ(bpe->decode(parsed, false), "a");
  EXPECT_EQ(bpe->decode(parsed, true), "<|im_start|>a<|im_end|>");
}

TEST(BpeTokenizerTest, LongestSpecialTokenWins) {
  TinyVocabulary vocabulary = tiny_bpe("gpt-2");
  vocabulary.add("<a>", 3);
  vocabulary.add("<a><b>", 3);
  vocabulary.add("b><a>", 3);
  EXPECT_EQ(Loaded(vocabulary).texts("<a><a><b><a>"), (Texts{"<a>", "<a><b>", "<a>"}));
}

TEST(BpeTokenizerTest, EndTokensAreEosAndTheWellKnown) {
  const Loaded bpe(tiny_bpe("gpt-2"));
  Texts ends;
  for (const int32_t token : bpe->end_tokens()) ends.push_back(bpe->token_text(token));
  EXPECT_EQ(ends, (Texts{"<|im_end|>", "<|endoftext|>"}));
}

TEST(BpeTokenizerTest, DescribesItself) {
  const Loaded bpe(tiny_bpe("smollm"));
  EXPECT_EQ(bpe->describe(), "byte-level BPE (smollm), 280 tokens");
  EXPECT_EQ(bpe->vocab_size(), 280);
  EXPECT_EQ(bpe->token_text(bpe->bos_token()), "<|im_start|>");
}

TEST(BpeTokenizerTest, RefusesInvalidUtf8WithItsOffset) {
  const Loaded bpe(tiny_bpe("gpt-2"));
  for (const auto& [text, offset] : std::vector<std::pair<std::string, int>>{{"abc\xff", 3},
                                                                             {"\xc0\x80", 0},
                                                                             {"x\xed\xa0\x80", 1},
                                                                             {"0123456789\xe2\x82", 10},
                                                                             {"\xf4\x90\x80\x80", 0}}) {
    try {
      bpe->encode(text);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
      EXPECT_NE(std::string(error.what()).find("offset " + std::to_string(offset) + " "), std::string::npos)
          << error.what();
    }
  }
}

TEST(BpeTokenizerTest, RefusesTokensOutsideTheVocabulary) {
  const Loaded bpe(tiny_bpe("gpt-2"));
  for (const int32_t token : {-1, 280, std::numeric_limits<int32_t>::max()}) {
    EXPECT_THROW(bpe->decode(std::vector<int32_t>{token}, false), Error);
    EXPECT_THROW(bpe->token_bytes(token, true), Error);
    EXPECT_THROW(bpe->token_text(token), Error);
  }
}

TEST(BpeTokenizerTest, SkipsMergesOfUnknownTexts) {
  TinyVocabulary vocabulary = tiny_bpe("gpt-2");
  vocabulary.merges.insert(vocabulary.merges.begin(), {"q u", "nospace", "", "the zzz"});
  EXPECT_EQ(Loaded(vocabulary).texts("quthe"), (Texts{"q", "u", "the"}));
}

TEST(BpeTokenizerTest, LongRunsOfOneCharacterTakeNoQuadraticTime) {
  for (const char* pre : {"smollm", "llama-bpe", "deepseek-llm", "deepseek-v3", "gpt-4o", "default"}) {
    const Loaded bpe(tiny_bpe(pre));
    for (std::string text : {std::string(1 << 18, 'a'), std::string(1 << 18, ' '), std::string(1 << 18, '\n'),
                             std::string(1 << 18, '<')}) {
      text += "x";
      const auto start = std::chrono::steady_clock::now();
      const std::vector<int32_t> ids = bpe->encode(text);
      EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(6))
          << pre;  // 0.1 s on an idle core; minutes if it were quadratic
      EXPECT_EQ(bpe->decode(ids, false), text);
    }
  }
}

TEST(BpeTokenizerTest, GemmaJoinsCharactersAndFallsBackToByteTokens) {
  TinyVocabulary vocabulary;
  vocabulary.model = "gemma4";
  for (const char* byte : {"<0xC3>", "<0xBC>", "<0x0A>"}) vocabulary.add(byte, 6);
  for (const char* text : {"▁", "a", "b", "ab", "▁ab", "\n", "\n\n"}) vocabulary.add(text);
  vocabulary.merges = {"a b", "▁ ab"};
  const Loaded gemma(vocabulary);
  EXPECT_EQ(gemma.texts("ab ab"), (Texts{"ab", "▁ab"}));
  EXPECT_EQ(gemma.texts("aü\n\na"), (Texts{"a", "<0xC3>", "<0xBC>", "\n\n", "a"}));
  EXPECT_EQ(gemma->decode(gemma->encode("ab abü\n\n"), false), "ab abü\n\n");
}

TEST(SpmTokenizerTest, Phi3TakesSpaceAfterSpecialTokens) {
  TinyVocabulary vocabulary = tiny_spm();
  vocabulary.add("<|user|>", 3);
  const std::string text = "<|user|> \n a<s> a";
  EXPECT_EQ(Loaded(vocabulary).texts(text, {.add_bos = false}),
            (Texts{"<|user|>", "▁▁", "\n", "▁", "a", "<s>", "▁▁", "a"}));
  vocabulary.name = "Phi3";
  EXPECT_EQ(Loaded(vocabulary).texts(text, {.add_bos = false}), (Texts{"<|user|>", "▁", "a", "<s>", "▁▁", "a"}));
}

TEST(SpmTokenizerTest, JoinsByScoreAndFallsBackToBytes) {
  const Loaded spm(tiny_spm());
  EXPECT_EQ(spm.texts("the hello"), (Texts{"<s>", "▁the", "▁hello"}));
  EXPECT_EQ(spm.texts("ababa"), (Texts{"<s>", "▁", "abab", "a"}));
  EXPECT_EQ(spm.texts("ü", {.add_bos = false}), (Texts{"▁", "<0xC3>", "<0xBC>"}));
}

TEST(SpmTokenizerTest, AddsASpaceBeforeTextAndTakesItAway) {
  TinyVocabulary vocabulary = tiny_spm();
  const Loaded with(vocabulary);
  EXPECT_EQ(with.texts("a</s>a"), (Texts{"<s>", "▁", "a", "</s>", "▁", "a"}));
  EXPECT_EQ(with->decode(with->encode("the hello\n é"), false), "the hello\n é");
  EXPECT_EQ(with->decode(with->encode("  a"), false), "  a");
  vocabulary.flags = {{"add_space_prefix", false}, {"add_bos_token", false}};
  const Loaded without(vocabulary);
  EXPECT_EQ(without.texts("a a"), (Texts{"a", "▁", "a"}));
  EXPECT_EQ(without->decode(without->encode(" a"), false), " a");
}

TEST(SpmTokenizerTest, WordsThatTokensMayCrossAreNotCutApart) {
  TinyVocabulary vocabulary = tiny_spm();
  vocabulary.add("e▁h", 1, 5);
  EXPECT_EQ(Loaded(vocabulary).texts("e h", {.add_bos = false}), (Texts{"▁", "e", "▁", "h"}));  // "e▁" is no token
  vocabulary.add("e▁", 1, 4);
  EXPECT_EQ(Loaded(vocabulary).texts("e h", {.add_bos = false}), (Texts{"▁", "e▁h"}));
}

TEST(TokenizerTest, NamesWhatItDoesNotKnow) {
  TinyVocabulary vocabulary = tiny_bpe("no-such-family");
  EXPECT_EQ(code_of(vocabulary), ErrorCode::kModelUnsupported);
  vocabulary = tiny_spm();
  vocabulary.model = "t5";
  EXPECT_EQ(code_of(vocabulary), ErrorCode::kModelUnsupported);
}

TEST(TokenizerTest, RefusesVocabulariesThatContradictThemselves) {
  const auto refuse = [](const char* what, TinyVocabulary vocabulary, const auto& change) {
    change(vocabulary);
    EXPECT_EQ(code_of(vocabulary), ErrorCode::kModelCorrupt) << what;
  };
  using V = TinyVocabulary;
  refuse("no tokens", tiny_bpe("gpt-2"), [](V& v) { v.tokens.clear(); });
  refuse("types too short", tiny_bpe("gpt-2"), [](V& v) { v.types.pop_back(); });
  refuse("unknown type", tiny_bpe("gpt-2"), [](V& v) { v.types[3] = 9; });
  refuse("negative type", tiny_bpe("gpt-2"), [](V& v) { v.types[3] = -1; });
  refuse("scores too short", tiny_spm(), [](V& v) { v.scores.pop_back(); });
  refuse("BOS outside", tiny_bpe("gpt-2"), [](V& v) { v.ids[0].second = 280; });
  refuse("EOS outside", tiny_spm(), [](V& v) { v.ids[1].second = 1 << 30; });
  refuse("BOS wanted and missing", tiny_bpe("gpt-2"), [](V& v) { v.ids.clear(), v.flags = {{"add_bos_token", true}}; });
  refuse("EOS wanted and missing", tiny_bpe("gpt-2"), [](V& v) { v.ids.clear(), v.flags = {{"add_eos_token", true}}; });
  refuse("no merges", tiny_bpe("gpt-2"), [](V& v) { v.merges.clear(); });
  refuse("a text twice", tiny_bpe("gpt-2"), [](V& v) { v.add("the"); });
  refuse("flag of another type", tiny_bpe("gpt-2"), [](V& v) {
    v.flags.clear(), v.ids.push_back({"add_bos_token", 1});
  });
  refuse("no byte tokens", tiny_bpe("gpt-2"), [](V& v) {
    for (size_t i = 0; i < 256; ++i) v.tokens[i] = "token" + std::to_string(i);
  });
  refuse("no byte tokens", tiny_spm(), [](V& v) {
    for (size_t i = 3; i < v.tokens.size(); ++i) v.tokens[i] = "token" + std::to_string(i);
  });
}

TEST(TokenizerTest, EmptyTextsAreHolesInTheVocabulary) {
  TinyVocabulary vocabulary = tiny_bpe("gpt-2");
  const int32_t hole = vocabulary.add("");
  vocabulary.add("", 3);
  const Loaded bpe(vocabulary);
  EXPECT_EQ(bpe->token_bytes(hole, true), "");
  EXPECT_EQ(bpe.texts("the"), (Texts{"the"}));
}

}  // namespace
}  // namespace terrace
