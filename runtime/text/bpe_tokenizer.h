// Byte-level BPE (tokenizer.ggml.model gpt2) and BPE over characters with byte tokens (gemma4): words by the family's
// regular expressions, then merges within each word. Immutable after construction: any thread. As in llama.cpp, a byte
// that the vocabulary has no token for is dropped (SmolLM2 lacks a few control characters).
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/bpe_merges.h"
#include "runtime/text/byte_alphabet.h"
#include "runtime/text/pre_tokenizer.h"
#include "runtime/text/pre_tokenizer_family.h"
#include "runtime/text/tokenizer_base.h"

namespace terrace {

class BpeTokenizer final : public TokenizerBase {
 public:
  /// `pre` is the name that found `family`, for describe().
  BpeTokenizer(const GgufFile& file, const PreTokenizerFamily& family, std::string_view pre);
  std::string describe() const override;

 private:
  void encode_plain(std::string_view text, bool after_special, std::vector<int32_t>& ids) const override;
  std::string plain_bytes(int32_t token) const override;

  void encode_word(std::string_view word, BpeWord& scratch, std::vector<int32_t>& ids) const;
  /// The token whose text is the whole word, where the family prefers that to merges; else -1.
  int32_t whole_word(std::string_view word) const;
  void append_symbols(std::string_view word, BpeWord& scratch) const;

  const std::string pre_;
  const bool whole_words_first_;
  const bool raw_utf8_;
  const ByteAlphabet alphabet_;
  const BpeMerges merges_;
  const PreTokenizer pre_tokenizer_;
  std::array<int32_t, 256> byte_tokens_;  // -1: none
};

}  // namespace terrace
