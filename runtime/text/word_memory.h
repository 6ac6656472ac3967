// The words that a text has had so far, and where their tokens stand in its ids: most words of a long text come again.
// One place per hash, the newest word wins. Lives for one text, which must outlive it; one thread.
#pragma once

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <string_view>
#include <vector>

namespace terrace {

class WordMemory {
 public:
  explicit WordMemory(size_t text_bytes) : entries_(std::bit_ceil(std::clamp<size_t>(text_bytes / 8, 1, 1 << 15))) {}

  /// Appends the word's tokens to `ids`, which only ever grows: copied from there, or made by `encode_word()`.
  template <typename Encode>
  void encode(std::string_view word, std::vector<int32_t>& ids, const Encode& encode_word) {
    Entry& known = entries_[XXH3_64bits(word.data(), word.size()) & (entries_.size() - 1)];
    const size_t begin = ids.size();
    if (known.word != word) {
      encode_word();
      known = {word, begin, ids.size() - begin};
      return;
    }
    ids.resize(begin + known.count);
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(known.begin), known.count,
                ids.begin() + static_cast<std::ptrdiff_t>(begin));
  }

 private:
  struct Entry {
    std::string_view word;
    size_t begin = 0;  // in the ids
    size_t count = 0;
  };
  std::vector<Entry> entries_;
};

}  // namespace terrace
