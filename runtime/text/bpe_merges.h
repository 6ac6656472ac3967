// The merges of a BPE vocabulary, ranked: joins the symbols of a word pair by pair, the lowest rank first, the leftmost
// of equals. O(n log n) in the word's length. Immutable after construction: any thread, each with its own BpeWord.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "runtime/text/vocabulary.h"

namespace terrace {

/// A word on its way to tokens: a list of symbols, linked because merges take out the right one of a pair. Reused
/// between words.
struct BpeWord {
  struct Symbol {
    int32_t token;   // -1: the vocabulary has none for it
    int32_t next;    // index; -1: the last
    int32_t prev;    // index; -1: the first
    uint32_t begin;  // byte offset in the word
  };
  std::vector<Symbol> symbols;    // the first always stays
  std::vector<uint64_t> waiting;  // heap of rank << 32 | index of the left symbol; stale ones are skipped

  void clear() { symbols.clear(); }
  void append(int32_t token, size_t begin);
};

class BpeMerges {
 public:
  /// `merges`: "left right", best first. One that names a text outside the vocabulary can never apply and is left out.
  BpeMerges(const std::vector<std::string_view>& merges, const Vocabulary& vocabulary);

  void apply(BpeWord& word) const;
  size_t size() const { return merges_.size(); }

 private:
  struct Merge {
    int32_t left, right, merged;
  };
  struct Slot {
    int32_t left = -1, right = -1;
    uint32_t rank = 0;
  };
  static uint64_t hash(int32_t left, int32_t right);
  /// Queues the merge of symbol `left` with its next one, if there is one.
  void consider(BpeWord& word, int32_t left) const;

  std::vector<Merge> merges_;  // by rank
  std::vector<Slot> slots_;    // open addressing by the pair, a power of two
};

}  // namespace terrace
