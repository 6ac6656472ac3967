// SentencePiece's BPE (tokenizer.ggml.model llama): joins neighbouring characters into tokens, the best score first,
// the leftmost of equals; characters that are no token become byte tokens. Spaces are ▁, one is put before the text.
// O(n log n). Immutable after construction: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/text/tokenizer_base.h"

namespace terrace {

class SpmTokenizer final : public TokenizerBase {
 public:
  explicit SpmTokenizer(const GgufFile& file);
  std::string describe() const override;

 private:
  void encode_plain(std::string_view text, bool after_special, std::vector<int32_t>& ids) const override;
  void encode_word(std::string_view word, std::vector<int32_t>& ids) const;
  std::string plain_bytes(int32_t token) const override;
  bool adds_first_space() const override { return add_space_prefix_; }

  bool add_space_prefix_ = true;
  bool words_are_independent_ =
      true;  // no token has a space after something else, so none can cross the start of a word
  std::array<int32_t, 256> byte_tokens_;  // those for which the vocabulary has none: the unknown token
};

}  // namespace terrace
