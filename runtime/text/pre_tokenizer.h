// Splits a text into the words within which byte-level BPE may merge, by the regular expressions of a family: each in
// turn cuts the pieces that the one before it left, into its matches and what lies between them. Runs them by PCRE2,
// compiled just in time where the machine allows it. Immutable after construction: any thread.
//
// \s, \S, \p{L}, \p{N}, \p{P}, \p{S}, \p{M} mean Unicode 15.1 whatever PCRE2 is installed (its 10.42 knows Unicode 14).
// Patterns must take linear time on any text; the match limit is a safety net that turns a runaway match into an
// Error(kInvalidValue).
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

class PreTokenizer {
 public:
  explicit PreTokenizer(std::span<const std::string> patterns);
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;

  /// Non-empty words that together are `text`, which must be valid UTF-8.
  std::vector<std::string_view> split(std::string_view text) const;

 private:
  class Regex;
  std::vector<Regex> regexes_;
};

}  // namespace terrace
