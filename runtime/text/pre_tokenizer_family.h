// What tokenizer.ggml.pre names: how a family of byte-level BPE tokenizers cuts text into words, and its habits.
// Constant tables.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

struct PreTokenizerFamily {
  std::vector<std::string> patterns;  // for PreTokenizer, in turn
  bool whole_words_first = false;     // a word that is a token is that token, whatever the merges say
  bool add_bos = false;               // where the GGUF is silent
  bool raw_utf8 = false;              // tokens are written as plain UTF-8 with ▁ for space, and bytes as <0xXX>
};

/// nullopt: unknown. "" is a file that names none, read as "default".
std::optional<PreTokenizerFamily> find_pre_tokenizer_family(std::string_view pre);

/// "bailingmoe, bloom, ...", for messages.
std::string known_pre_tokenizers();

}  // namespace terrace
