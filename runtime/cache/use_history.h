// The last uses of all pages, of those that were given up as well: what ReturnModel learns from. Step thread only. It knows keys, not tiers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "runtime/cache/return_model.h"

namespace terrace {

class UseHistory {
 public:
  /// The last `capacity` uses are remembered; a power of two.
  explicit UseHistory(size_t capacity);

  /// The page is used now, in a tier of so many pages; how often it has been, as far as is remembered.
  int32_t use(uint64_t key, int32_t tier_size);
  /// What has become known of the use at this time, if it is remembered.
  void set_kind(int64_t time, const PageKind& kind);
  /// Of the uses of known pages that are not immediate, the share that an LRU tier of that size finds. 1 while little is known.
  double recent_share() const;
  /// Uses so far.
  int64_t now() const { return now_; }
  double value(const PageKind& kind, int64_t last_use) const { return model_.value(kind, now_ - last_use); }

 private:
  struct Use {
    uint64_t key = 0;
    int32_t num_uses = 0;
    PageKind kind;
    bool latest = false;  // not used again since
  };
  Use& at(int64_t time) { return uses_[static_cast<size_t>(time) & (uses_.size() - 1)]; }
  void forget_oldest();
  void shrink_recent(int32_t tier_size);
  void note_return(int64_t last_use, int32_t tier_size);
  void learn_from_waiting();

  std::vector<Use> uses_;  // a ring, by time
  std::unordered_map<uint64_t, int64_t> last_use_;
  ReturnModel model_;
  int64_t now_ = 0;
  int64_t recent_begin_ = 0;  // the last uses of the tier_size pages used last lie from here to now: what LRU would hold
  int32_t num_recent_ = 0;
  double num_near_ = 0, num_not_immediate_ = 0;
};

}  // namespace terrace
