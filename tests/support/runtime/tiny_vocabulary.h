// Small vocabularies for tests and fuzzing, as the keys of a GGUF. The lists may be changed before file() is called.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/model/gguf.h"
#include "tests/support/runtime/gguf_builder.h"

namespace terrace {

struct TinyVocabulary {
  std::string name;  // general.name; "": left out
  std::string model;
  std::string pre;  // "": the key is left out
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;        // empty: left out
  std::vector<std::string> merges;  // empty: left out
  std::vector<std::pair<std::string, int32_t>> ids;
  std::vector<std::pair<std::string, bool>> flags;

  int32_t add(std::string text, int32_t type = 1, float score = 0);
  void add_keys(GgufBuilder& builder) const;
  /// The bytes of a GGUF that holds nothing else.
  std::string bytes() const;
};

/// All 256 bytes (ids 0 to 255), merges for "the", " the", "1 2", "hello" and such, then <|im_start|> <|im_end|>
/// <|endoftext|> as control tokens and [TOOL] as a user-defined one.
TinyVocabulary tiny_bpe(const std::string& pre);

/// <unk> <s> </s>, the 256 byte tokens (ids 3 to 258), then some letters, ▁ and joins with scores.
TinyVocabulary tiny_spm();

}  // namespace terrace
