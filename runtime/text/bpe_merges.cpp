#include "runtime/text/bpe_merges.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <string>

namespace terrace {

void BpeWord::append(int32_t token, size_t begin) {
  const int32_t index = static_cast<int32_t>(symbols.size());
  if (index > 0) symbols.back().next = index;
  symbols.push_back({token, -1, index - 1, static_cast<uint32_t>(begin)});
}

BpeMerges::BpeMerges(const std::vector<std::string_view>& merges, const Vocabulary& vocabulary) {
  slots_.resize(std::bit_ceil(std::max<size_t>(merges.size() * 2, 2)));
  const size_t mask = slots_.size() - 1;
  merges_.reserve(merges.size());
  std::string merged_text;
  for (const std::string_view line : merges) {
    const size_t space = line.find(' ', 1);  // a space at the front belongs to the left text
    if (space == std::string_view::npos) continue;
    merged_text.assign(line, 0, space);
    merged_text += line.substr(space + 1);
    const Merge merge{vocabulary.find(line.substr(0, space)), vocabulary.find(line.substr(space + 1)),
                      vocabulary.find(merged_text)};
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0) continue;
    size_t at = hash(merge.left, merge.right) & mask;
    while (slots_[at].left >= 0 && (slots_[at].left != merge.left || slots_[at].right != merge.right))
      at = (at + 1) & mask;
    if (slots_[at].left >= 0) continue;  // a repeated line: the first one's rank holds
    slots_[at] = {merge.left, merge.right, static_cast<uint32_t>(merges_.size())};
    merges_.push_back(merge);
  }
}

uint64_t BpeMerges::hash(int32_t left, int32_t right) {
  const uint64_t key = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  return (key * 0x9E3779B97F4A7C15u) >> 32;
}

void BpeMerges::consider(BpeWord& word, int32_t left) const {
  const BpeWord::Symbol& symbol = word.symbols[static_cast<size_t>(left)];
  if (symbol.next < 0 || symbol.token < 0) return;
  const int32_t right = word.symbols[static_cast<size_t>(symbol.next)].token;
  const size_t mask = slots_.size() - 1;
  for (size_t at = hash(symbol.token, right) & mask; slots_[at].left >= 0; at = (at + 1) & mask) {
    if (slots_[at].left != symbol.token || slots_[at].right != right) continue;
    word.waiting.push_back(uint64_t{slots_[at].rank} << 32 | static_cast<uint32_t>(left));
    return;
  }
}

void BpeMerges::apply(BpeWord& word) const {
  std::vector<BpeWord::Symbol>& symbols = word.symbols;
  std::vector<uint64_t>& waiting = word.waiting;
  waiting.clear();
  for (size_t i = 0; i + 1 < symbols.size(); ++i) consider(word, static_cast<int32_t>(i));
  std::make_heap(waiting.begin(), waiting.end(), std::greater<>());
  const auto push = [&](int32_t left) {
    const size_t before = waiting.size();
    consider(word, left);
    if (waiting.size() != before) std::push_heap(waiting.begin(), waiting.end(), std::greater<>());
  };
  while (!waiting.empty()) {
    const Merge& merge = merges_[waiting.front() >> 32];
    const int32_t index = static_cast<int32_t>(waiting.front() & 0xFFFFFFFFu);
    std::pop_heap(waiting.begin(), waiting.end(), std::greater<>());
    waiting.pop_back();
    BpeWord::Symbol& left = symbols[static_cast<size_t>(index)];
    // A rank means one pair of tokens: if they still stand here, the entry is not stale. Symbols taken out have token
    // -1.
    if (left.token != merge.left || left.next < 0 || symbols[static_cast<size_t>(left.next)].token != merge.right)
      continue;
    BpeWord::Symbol& right = symbols[static_cast<size_t>(left.next)];
    left.token = merge.merged;
    left.next = right.next;
    right.token = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].prev = index;
    if (left.prev >= 0) push(left.prev);
    push(index);
  }
}

}  // namespace terrace
