// What holds the tokens of one sequence to a grammar. The engine knows no grammars: it asks which tokens may come next, and says which one came.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace terrace {

/// The tokens that may come next. End tokens are not among them: they may come where the text `may_end`.
struct TokenMask {
  std::vector<uint32_t> words;  // bit token % 32 of word token / 32; tokens beyond may not come
  bool may_end = false;         // the text so far is whole
  std::string problem;          // why nothing may come, where that is an error

  bool allows(int32_t token) const;
  bool empty() const;
  /// Takes the logits of all other tokens, but for `end_tokens` where the text may end, to minus infinity.
  void apply(std::span<float> logits, std::span<const int32_t> end_tokens) const;
};

/// One per sequence (two choices of a request are two). Used by one thread at a time.
class TokenConstraint {
 public:
  virtual ~TokenConstraint() = default;
  /// The mask of the next token. May take milliseconds.
  virtual void fill(TokenMask& mask) = 0;
  /// `token`, one of the last mask, comes next.
  virtual void accept(int32_t token) = 0;
};

}  // namespace terrace
