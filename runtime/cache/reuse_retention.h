// The page goes first of which the fewest hits are to be expected for the time that it would stay (ReturnModel, which learns that as it goes: from how often a
// page was used, when, where in its request it lay and how long the answer was). Where LRU would find nearly all that comes back, this is LRU: there is nothing to
// win. Step thread only.
#pragma once

#include <vector>

#include "runtime/cache/leaf_heap.h"
#include "runtime/cache/use_history.h"

namespace terrace {

class ReuseRetention final : public RetentionPolicy {
 public:
  ReuseRetention();
  void insert(PageId page, const PageTraits& traits, int64_t now) override;
  void erase(PageId page) override { pages_.erase(page); }
  void hit(PageId page, int64_t now) override;
  void ended(PageId page, const EndedRequest& request) override;
  void set_priority(PageId page, int32_t priority) override { pages_.set_priority(page, priority); }
  void pin(PageId page) override { pages_.pin(page); }
  void unpin(PageId page) override { pages_.unpin(page); }
  std::optional<PageId> victim() override { return pages_.lowest(); }

 private:
  struct Past {
    uint64_t key = 0;
    int64_t last_use = 0;  // by the history's clock
    int32_t num_uses = 0;
    PageKind kind;
  };
  void use(PageId page);
  void refresh(PageId page);
  void refresh_some();

  UseHistory history_;
  LeafHeap pages_;
  std::vector<Past> pasts_;  // by PageId
  PageId next_refresh_ = 0;
  uint64_t num_without_key_ = 0;
};

}  // namespace terrace
