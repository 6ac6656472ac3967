// Splits special tokens out of a text before it is tokenised: all occurrences of the longest first, then of the next
// longest in what is left. Points into the vocabulary that it was made from. Immutable after construction: any thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/text/vocabulary.h"

namespace terrace {

struct TextFragment {
  std::string_view text;  // of the input
  int32_t token = -1;     // >= 0: the text is this token; -1: plain text
};

class SpecialPartition {
 public:
  /// `strip_after[i]`: white space after token i belongs to it; empty: for none.
  SpecialPartition(const Vocabulary& vocabulary, std::vector<bool> strip_after);

  /// Non-empty fragments in order; together they are `text`, but for stripped white space. User-defined tokens are
  /// split out always, control and unknown tokens only with `parse_special`.
  std::vector<TextFragment> split(std::string_view text, bool parse_special) const;

 private:
  struct Entry {
    std::string_view text;
    int32_t token;
  };
  /// Texts in byte order, so that those with a common prefix lie together.
  struct Matcher {
    std::vector<Entry> entries;
    std::array<bool, 256> first_bytes{};
    void add(Entry entry);
    void finish();
    /// Appends all entries that `text` begins with.
    void match(std::string_view text, std::vector<Entry>& found) const;
  };
  struct Occurrence {
    size_t begin;
    Entry entry;
  };
  std::vector<Occurrence> find(std::string_view text, const Matcher& matcher) const;

  Matcher all_;
  Matcher user_defined_;
  std::vector<bool> strip_after_;
};

}  // namespace terrace
