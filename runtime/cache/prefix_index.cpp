#include "runtime/cache/prefix_index.h"

#include <algorithm>
#include <utility>

namespace terrace {

std::optional<PageId> PrefixIndex::find(const PageKey& key, std::span<const int32_t> tokens) const {
  const auto found = by_key_.find(key);
  if (found == by_key_.end() || !std::ranges::equal(pages_[found->second].tokens, tokens)) return std::nullopt;
  return found->second;
}

PageId PrefixIndex::insert(const PageKey& key, const PageKey& parent_key, int32_t depth, std::span<const int32_t> tokens) {
  PageId id;
  if (unused_.empty()) {
    id = static_cast<PageId>(pages_.size());
    pages_.emplace_back();
  } else {
    id = unused_.back();
    unused_.pop_back();
    pages_[id] = {};
  }
  CachedPage& page = pages_[id];
  page.key = key;
  page.parent_key = parent_key;
  page.depth = depth;
  page.tokens.assign(tokens.begin(), tokens.end());
  by_key_.emplace(key, id);
  std::vector<PageId>& siblings = children_[parent_key];
  siblings.push_back(id);
  if (const auto parent = by_key_.find(parent_key); parent != by_key_.end()) {
    page.parent = parent->second;
    ++pages_[page.parent].num_children;
  }
  return id;
}

void PrefixIndex::erase_if_unused(PageId id) {
  while (id != kNoPage) {
    CachedPage& page = pages_[id];
    if (page.anywhere() || page.holds > 0 || page.move != 0 || page.num_children > 0) return;
    const auto family = children_.find(page.parent_key);
    std::erase(family->second, id);
    if (family->second.empty()) children_.erase(family);
    by_key_.erase(page.key);
    const PageId parent = std::exchange(page.parent, kNoPage);
    unused_.push_back(id);
    if (parent != kNoPage) --pages_[parent].num_children;
    id = parent;
  }
}

PrefixIndex::Partial PrefixIndex::longest_partial(const PageKey& parent_key, std::span<const int32_t> tokens) const {
  Partial best;
  const auto family = children_.find(parent_key);
  if (family == children_.end()) return best;
  constexpr size_t kMostLookedAt = 64;  // the newest: the first page of a chain may have any number of siblings
  const std::vector<PageId>& siblings = family->second;
  for (size_t i = siblings.size(); i-- > 0 && siblings.size() - i <= kMostLookedAt;) {
    const PageId id = siblings[i];
    const CachedPage& page = pages_[id];
    if (!page.in(Tier::kDevice)) continue;
    const auto [own, other] = std::ranges::mismatch(page.tokens, tokens);
    const auto shared = static_cast<int32_t>(own - page.tokens.begin());
    if (shared > best.num_tokens) best = {id, shared};
  }
  return best;
}

}  // namespace terrace
