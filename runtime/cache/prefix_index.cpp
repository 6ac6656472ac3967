#include "runtime/cache/prefix_index.h"

#include <algorithm>
#include <utility>

namespace terrace {

std::optional<PageId> PrefixIndex::find(const PageKey& key, std::span<const int32_t> tokens) const {
  const PageId id = find(key);
  if (id == kNoPage || !std::ranges::equal(pages_[id].tokens, tokens)) return std::nullopt;
  return id;
}

PageId PrefixIndex::find(const PageKey& key) const {
  return by_key_.find(key, [&](PageId id) { return pages_[id].key == key; });
}

PageId PrefixIndex::insert(const PageRecord& record) {
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
  page.key = record.key;
  page.parent_key = record.parent;
  page.alone = record.alone;
  page.depth = record.depth;
  page.tokens = record.tokens;
  page.first_token = record.tokens.front();
  by_key_.insert(record.key, id);
  if (!record.alone) page.parent = find(record.parent);
  if (page.parent != kNoPage) ++pages_[page.parent].num_children;
  join_siblings(id);
  return id;
}

void PrefixIndex::erase_if_unused(PageId id) {
  while (id != kNoPage) {
    CachedPage& page = pages_[id];
    if (page.anywhere() || page.holds > 0 || page.move != 0 || page.num_children > 0) return;
    leave_siblings(page);
    by_key_.erase(page.key, id);
    const PageId parent = std::exchange(page.parent, kNoPage);
    unused_.push_back(id);
    if (parent != kNoPage) --pages_[parent].num_children;
    id = parent;
  }
}

PageId& PrefixIndex::newest_sibling(const CachedPage& page) {
  if (page.parent != kNoPage) return pages_[page.parent].newest_child;
  return newest_orphan_.try_emplace(page.parent_key, kNoPage).first->second;
}

PageId PrefixIndex::newest_orphan(const PageKey& parent_key) const {
  const auto found = newest_orphan_.find(parent_key);
  return found != newest_orphan_.end() ? found->second : kNoPage;
}

void PrefixIndex::join_siblings(PageId id) {
  CachedPage& page = pages_[id];
  page.older_sibling = std::exchange(newest_sibling(page), id);
  if (page.older_sibling != kNoPage) pages_[page.older_sibling].newer_sibling = id;
}

void PrefixIndex::leave_siblings(const CachedPage& page) {
  if (page.older_sibling != kNoPage) pages_[page.older_sibling].newer_sibling = page.newer_sibling;
  if (page.newer_sibling != kNoPage) {
    pages_[page.newer_sibling].older_sibling = page.older_sibling;
  } else if (page.parent == kNoPage && page.older_sibling == kNoPage) {
    newest_orphan_.erase(page.parent_key);
  } else {
    newest_sibling(page) = page.older_sibling;
  }
}

PrefixIndex::Partial PrefixIndex::longest_partial(const PageKey& parent_key, std::span<const int32_t> tokens) const {
  Partial best;
  int num_left = 64;  // to look at, the newest: the first page of a chain may have any number of siblings
  const PageId parent = find(parent_key);
  const PageId newest_child = parent != kNoPage ? pages_[parent].newest_child : kNoPage;
  for (PageId id : {newest_child, newest_orphan(parent_key)}) {
    for (; id != kNoPage && num_left > 0; id = pages_[id].older_sibling, --num_left) {
      const CachedPage& page = pages_[id];
      if (!page.in(Tier::kDevice) || tokens.empty() || page.first_token != tokens.front()) continue;
      const auto [own, other] = std::ranges::mismatch(page.tokens, tokens);
      const auto shared = static_cast<int32_t>(own - page.tokens.begin());
      if (shared > best.num_tokens) best = {id, shared};
    }
  }
  return best;
}

}  // namespace terrace
