// The page that was used longest ago goes first; of pages used in the same step, the deepest. Step thread only.
#pragma once

#include "runtime/cache/leaf_heap.h"

namespace terrace {

class LruRetention final : public RetentionPolicy {
 public:
  void insert(PageId page, const PageTraits& traits, int64_t now) override {
    pages_.insert(page, traits, static_cast<double>(now));
  }
  void erase(PageId page) override { pages_.erase(page); }
  void hit(PageId page, int64_t now) override { pages_.set_value(page, static_cast<double>(now)); }
  void set_priority(PageId page, int32_t priority) override { pages_.set_priority(page, priority); }
  void pin(PageId page) override { pages_.pin(page); }
  void unpin(PageId page) override { pages_.unpin(page); }
  std::optional<PageId> victim() override { return pages_.lowest(); }

 private:
  friend class SchedulerInspector;  // tests: all that the next plans depend on
  LeafHeap pages_;
};

}  // namespace terrace
