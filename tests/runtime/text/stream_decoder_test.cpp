#include "runtime/text/stream_decoder.h"

#include <gtest/gtest.h>

#include <random>

#include "runtime/text/utf8.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

std::unique_ptr<Tokenizer> load(const TinyVocabulary& vocabulary) {
  const std::string bytes = vocabulary.bytes();
  return make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
}

std::string stream(const Tokenizer& tokenizer, std::span<const int32_t> tokens) {
  StreamDecoder decoder(tokenizer);
  std::string text;
  for (const int32_t token : tokens) {
    const std::string pushed = decoder.push(token);
    EXPECT_EQ(find_invalid_utf8(pushed), std::string::npos);  // never half a character
    text += pushed;
  }
  return text + decoder.finish();
}

std::string random_text(std::mt19937& random) {
  static const std::vector<std::string> pieces = {"the",     " ", "\n",         "é",     "ü",          "語", "😀",
                                                  "e\u0301", "a", "<|im_end|>", "hello", "\U0010FFFF", "\t"};
  std::string text;
  for (size_t n = random() % 20; n > 0; --n) text += pieces[random() % pieces.size()];
  return text;
}

TEST(StreamDecoderTest, GivesACharacterWhenItsLastByteComes) {
  const auto bpe = load(tiny_bpe("gpt-2"));
  StreamDecoder decoder(*bpe);
  EXPECT_EQ(decoder.push('a'), "a");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push(0x82), "");
  EXPECT_EQ(decoder.push(0xAC), "€");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoderTest, ReplacesBytesThatCanNeverBecomeACharacter) {
  const auto bpe = load(tiny_bpe("gpt-2"));
  StreamDecoder decoder(*bpe);
  EXPECT_EQ(decoder.push(0x80), "\uFFFD");
  EXPECT_EQ(decoder.push(0xE2), "");
  EXPECT_EQ(decoder.push('x'), "\uFFFDx");
  EXPECT_EQ(decoder.push(0xED), "");
  EXPECT_EQ(decoder.push(0xA0), "\uFFFD\uFFFD");  // half a surrogate
  EXPECT_EQ(decoder.push(0xF0), "");
  EXPECT_EQ(decoder.push(0x9F), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD\uFFFD");
  EXPECT_EQ(decoder.finish(), "");
}

TEST(StreamDecoderTest, HidesControlTokens) {
  const auto bpe = load(tiny_bpe("gpt-2"));
  const std::vector<int32_t> ids = bpe->encode("<|im_start|>a<|im_end|>");
  EXPECT_EQ(stream(*bpe, ids), "a");
}

TEST(StreamDecoderTest, DropsTheSpaceThatSentencePieceAdds) {
  const auto spm = load(tiny_spm());
  EXPECT_EQ(stream(*spm, spm->encode("hello the")), "hello the");
  EXPECT_EQ(stream(*spm, spm->encode(" hello")), " hello");
}

TEST(StreamDecoderTest, PushesAndFinishAreDecodeForRandomTexts) {
  std::mt19937 random(7);
  for (const TinyVocabulary& vocabulary : {tiny_bpe("smollm"), tiny_bpe("llama-bpe"), tiny_spm()}) {
    const auto tokenizer = load(vocabulary);
    for (int i = 0; i < 500; ++i) {
      const std::string text = random_text(random);
      const std::vector<int32_t> ids = tokenizer->encode(text, {.parse_special = false});
      EXPECT_EQ(tokenizer->decode(ids, false), text);
      EXPECT_EQ(stream(*tokenizer, ids), text);
    }
  }
}

TEST(StreamDecoderTest, PushesAndFinishAreDecodeMadeValidForRandomTokens) {
  std::mt19937 random(11);
  for (const TinyVocabulary& vocabulary : {tiny_bpe("smollm"), tiny_spm()}) {
    const auto tokenizer = load(vocabulary);
    for (int i = 0; i < 2000; ++i) {
      std::vector<int32_t> ids(random() % 12);
      for (int32_t& id : ids) id = static_cast<int32_t>(random() % static_cast<uint32_t>(tokenizer->vocab_size()));
      EXPECT_EQ(stream(*tokenizer, ids), to_valid_utf8(tokenizer->decode(ids, false)));
    }
  }
}

}  // namespace
}  // namespace terrace
