// What all families of tokenizers share: checks, BOS and EOS, special tokens split out of the text, decoding. A family
// says how plain text becomes tokens and what a token's bytes are. Immutable after construction: any thread.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "runtime/text/special_partition.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/vocabulary.h"

namespace terrace {

class TokenizerBase : public Tokenizer {
 public:
  std::vector<int32_t> encode(std::string_view text, const EncodeOptions& options) const final;
  std::string token_bytes(int32_t token, bool special) const final;
  std::string decode(std::span<const int32_t> tokens, bool special) const final;
  int32_t vocab_size() const final { return vocabulary_.size(); }
  int32_t bos_token() const final { return vocabulary_.bos(); }
  int32_t eos_token() const final { return vocabulary_.eos(); }
  std::string token_text(int32_t token) const final;
  const std::vector<int32_t>& end_tokens() const final { return vocabulary_.end_tokens(); }

 protected:
  TokenizerBase(const GgufFile& file, const VocabularyDefaults& defaults);

  /// Appends the tokens of plain text. `after_special`: at the start or after a special token.
  virtual void encode_plain(std::string_view text, bool after_special, std::vector<int32_t>& ids) const = 0;
  /// The bytes of a token that is neither special nor user-defined.
  virtual std::string plain_bytes(int32_t token) const = 0;
  /// Whether encode_plain puts a space before the text, which decode takes away again.
  virtual bool adds_first_space() const { return false; }

  const Vocabulary& vocabulary() const { return vocabulary_; }

 private:
  const Vocabulary vocabulary_;
  const SpecialPartition special_;
};

}  // namespace terrace
