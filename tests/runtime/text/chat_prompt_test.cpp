#include "runtime/text/chat_prompt.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

/// One id a byte; BOS is 256, written "<s>".
class ByteTokenizer : public Tokenizer {
 public:
  explicit ByteTokenizer(int32_t bos) : bos_(bos) {}
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<int32_t> ids;
    if (options.add_bos && bos_ >= 0) ids.push_back(bos_);
    if (options.parse_special && text.starts_with("<s>")) {
      ids.push_back(256);
      text.remove_prefix(3);
    }
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return ids;
  }
  std::string token_bytes(int32_t token, bool) const override { return std::string(1, static_cast<char>(token)); }
  std::string decode(std::span<const int32_t>, bool) const override { return ""; }
  int32_t vocab_size() const override { return 257; }
  int32_t bos_token() const override { return bos_; }
  int32_t eos_token() const override { return -1; }
  std::string token_text(int32_t token) const override { return token == 256 ? "<s>" : token_bytes(token, true); }
  const std::vector<int32_t>& end_tokens() const override { return end_tokens_; }
  std::string describe() const override { return "bytes"; }

 private:
  int32_t bos_;
  std::vector<int32_t> end_tokens_;
};

TEST(ChatPromptTest, AddsNoSecondBos) {
  const ByteTokenizer tokenizer(256);
  EXPECT_EQ(encode_chat_prompt(tokenizer, "<s>a"), (std::vector<int32_t>{256, 'a'}));
  EXPECT_EQ(encode_chat_prompt(tokenizer, "a"), (std::vector<int32_t>{256, 'a'}));
}

TEST(ChatPromptTest, AddsNoneWhereTheModelHasNone) {
  EXPECT_EQ(encode_chat_prompt(ByteTokenizer(-1), "ab"), (std::vector<int32_t>{'a', 'b'}));
}

}  // namespace
}  // namespace terrace
