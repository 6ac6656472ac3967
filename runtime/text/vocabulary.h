// The tokens of a GGUF (tokenizer.ggml.tokens, scores, token_type): text, kind and score by id, id by text; and the ids
// and flags that the family gives a meaning to. Owns its texts (the file may be closed). Immutable after construction:
// any thread. Does not know how text becomes tokens.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/gguf.h"

namespace terrace {

enum class TokenKind : uint8_t { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };  // GGUF's numbers

/// What a family says where the GGUF is silent.
struct VocabularyDefaults {
  int32_t bos = -1;
  int32_t eos = -1;
  int32_t unknown = -1;
  bool add_bos = false;
};

class Vocabulary {
 public:
  /// Throws kModelCorrupt, naming the key, where the lists are missing, differ in size, or name ids outside the
  /// vocabulary.
  Vocabulary(const GgufFile& file, const VocabularyDefaults& defaults);

  int32_t size() const { return static_cast<int32_t>(kinds_.size()); }
  /// The id of a token's text as the vocabulary writes it; -1 where there is none.
  int32_t find(std::string_view text) const;
  std::string_view text(int32_t token) const {
    const size_t begin = ends_[static_cast<size_t>(token)];
    return std::string_view(texts_).substr(begin, ends_[static_cast<size_t>(token) + 1] - begin);
  }
  TokenKind kind(int32_t token) const { return kinds_[static_cast<size_t>(token)]; }
  /// Control and unknown tokens: never the product of plain text, never shown unless asked for.
  bool is_special(int32_t token) const {
    return kind(token) == TokenKind::kControl || kind(token) == TokenKind::kUnknown;
  }
  float score(int32_t token) const { return scores_.empty() ? 0.0f : scores_[static_cast<size_t>(token)]; }
  size_t max_text_bytes() const { return max_text_bytes_; }

  int32_t bos() const { return bos_; }  // -1: none
  int32_t eos() const { return eos_; }
  int32_t unknown() const { return unknown_; }
  bool add_bos() const { return add_bos_; }
  bool add_eos() const { return add_eos_; }
  /// Ascending: eos, eot, eom and those whose text families use to end a turn or a text.
  const std::vector<int32_t>& end_tokens() const { return end_tokens_; }

  /// Throws kInvalidValue unless 0 <= token < size().
  void require(int32_t token) const;

 private:
  void read_texts(const GgufFile& file);
  void read_kinds_and_scores(const GgufFile& file);
  void index_texts(const GgufFile& file);
  void read_special_ids(const GgufFile& file, const VocabularyDefaults& defaults);
  void mark_well_known();

  std::string texts_;         // all texts, one after another
  std::vector<size_t> ends_;  // [size + 1]: token i is texts_[ends_[i], ends_[i + 1])
  std::vector<TokenKind> kinds_;
  std::vector<float> scores_;     // empty: all 0
  std::vector<int32_t> buckets_;  // open addressing by the text's hash, a power of two; -1: free
  size_t max_text_bytes_ = 0;
  int32_t bos_ = -1;
  int32_t eos_ = -1;
  int32_t unknown_ = -1;
  bool add_bos_ = false;
  bool add_eos_ = false;
  std::vector<int32_t> end_tokens_;
};

}  // namespace terrace
