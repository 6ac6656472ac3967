// The page goes first of which the fewest hits are to be expected for the room it takes. Step thread only.
//
// How, depends on how much of what comes back LRU would find, which is known at any time (UseHistory). Nearly all of
// it: then this is LRU. Less: chains of a kind that seldom comes back go before their time, and below some age, age
// says little. Less than half: a page is worth, more and more, the hit density that has been learnt for its kind and
// age. So chats that come back after more time than the tier holds are kept at the cost of those that are new.
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
  void pin(PageId page) override { pages_.pin(page); }
  void unpin(PageId page) override { pages_.unpin(page); }
  std::optional<PageId> victim() override { return pages_.lowest(); }

 private:
  struct Past {
    uint64_t key = 0;
    int64_t last_use = 0;  // by the history's clock
    int32_t num_uses = 0;
    int32_t num_branches = 0;  // children that have come while it was here
    bool late = false;         // its last use but one was long before
    bool continues = false;    // when it came, the pages before it were known
  };
  PageKind kind_of(const Past& past) const;
  double value_of(const Past& past) const;
  void use(PageId page);
  void refresh_some();

  UseHistory history_;
  LeafHeap pages_;
  std::vector<Past> pasts_;  // by PageId
  PageId next_refresh_ = 0;
  uint64_t num_without_key_ = 0;
  // Both 0..1, from the share that LRU would find.
  double doubt_ = 0;
  double learnt_weight_ = 0;
};

}  // namespace terrace
