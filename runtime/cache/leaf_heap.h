// The pages of one tier that may go: those without children in it and without pins, lowest rank on top. What every
// retention policy is made of. Ids only, step thread only. It knows chains and pins, not what a page is worth: that is
// the rank, which its owner sets.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/cache/retention.h"

namespace terrace {

class LeafHeap {
 public:
  /// `page` is not in the tier. `value`: pages of lower priority go first, then those of lower value, then those of use
  /// alone, the first in position first (its sequence was the first to let it go), then the deeper, then by id. O(log n).
  void insert(PageId page, const PageTraits& traits, double value);
  /// `page` is in the tier. O(log n), as all that follows.
  void erase(PageId page);
  void set_value(PageId page, double value);
  void set_priority(PageId page, int32_t priority);
  void pin(PageId page);
  void unpin(PageId page);

  bool contains(PageId page) const { return page < pages_.size() && pages_[page].present; }
  double value(PageId page) const { return pages_[page].rank.value; }
  const PageTraits& traits(PageId page) const { return pages_[page].traits; }
  bool has_children(PageId page) const { return pages_[page].num_children > 0; }
  int32_t size() const { return size_; }
  /// nullopt: every page is pinned, or has a child that is.
  std::optional<PageId> lowest() const;

 private:
  static constexpr uint32_t kNowhere = 0xFFFFFFFFu;
  struct Rank {
    int32_t priority = 0;
    int32_t depth = 0;
    double value = 0;
  };
  struct Page {
    PageTraits traits;
    Rank rank;
    int32_t num_children = 0;  // in the tier; counted for a parent that is not there, too: it may come after them
    int32_t num_pins = 0;
    uint32_t place = kNowhere;  // in heap_
    bool present = false;
  };

  Page& at(PageId page);
  bool goes_before(PageId a, PageId b) const;
  void add_child(PageId parent, int32_t difference);
  void enter_or_leave(PageId page);
  void settle(PageId page);
  void sift_up(uint32_t place);
  void sift_down(uint32_t place);
  void put(uint32_t place, PageId page);
  void take_out(uint32_t place);

  std::vector<Page> pages_;   // by PageId
  std::vector<PageId> heap_;  // binary, the first to go on top
  int32_t size_ = 0;
};

}  // namespace terrace
