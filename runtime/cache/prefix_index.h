// The tree of cached pages by their keys: rank 0's memory of which tokens have K and V somewhere. Ids and tokens only; where the copies lie and
// who holds them is written on a page by the tier manager. Step thread only.
//
// A page stays in the tree as long as it has children, also when its own copies are gone: so a child's parent id always names its parent.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/cache/page.h"
#include "runtime/cache/page_key_table.h"
#include "runtime/cache/page_record.h"
#include "runtime/cache/retention.h"

namespace terrace {

struct CachedPage {
  PageKey key;
  PageKey parent_key;         // of the root for the first page of a chain
  PageId parent = kNoPage;    // not of a page that is of use alone
  bool alone = false;         // PageRecord::alone
  int32_t depth = 0;          // pages before it
  std::vector<int32_t> tokens;
  std::array<uint32_t, kNumTiers> frame = {kNoFrame, kNoFrame, kNoFrame};  // of its copies that can be read
  EndedRequest request;       // the one that used it last, once that has ended
  int32_t priority = kDefaultPriority;  // the highest of the requests that have used it and ended
  int32_t holds = 0;          // sequences that use it or wait for it
  int64_t let_go_second = INT64_MIN;  // of the last time that nobody held it any more
  int32_t in_place = 0;       // of these, the ones whose rows read the host's copy
  uint32_t move = 0;          // in flight; 0: none
  bool leaving = false;       // the move gives up the copy it starts from
  bool verified = false;      // the host has a copy, and it was verified since somebody holds the page
  int32_t num_children = 0;
  int32_t first_token = 0;    // of tokens, so that most siblings are told apart without them
  PageId newest_child = kNoPage;
  PageId older_sibling = kNoPage;  // of those that follow the same page
  PageId newer_sibling = kNoPage;
  std::array<bool, kNumTiers> pinned = {};  // by the tier's policy
  bool idle = false;          // counted as a device copy that may be given up
  bool clean = false;         // counted as an idle one that a colder tier has too

  bool in(Tier tier) const { return frame[static_cast<size_t>(tier)] != kNoFrame; }
  bool on_device_in_use() const { return holds > in_place || move != 0; }
  bool anywhere() const { return in(Tier::kDevice) || in(Tier::kHost) || in(Tier::kDisk); }
};

class PrefixIndex {
 public:
  /// The page of this key, if its tokens are these.
  std::optional<PageId> find(const PageKey& key, std::span<const int32_t> tokens) const;
  /// A page that is not there yet. Its parent is looked up by key; a first page of a chain has none, and one that is of use alone needs none.
  PageId insert(const PageRecord& record);
  /// Takes the page out when nothing needs it any more (no copy, hold, move or child), and then its parent likewise.
  void erase_if_unused(PageId page);

  CachedPage& at(PageId page) { return pages_[page]; }
  const CachedPage& at(PageId page) const { return pages_[page]; }
  size_t size() const { return by_key_.size(); }
  /// Ids in use, and those free to be used again, are below.
  PageId num_ids() const { return static_cast<PageId>(pages_.size()); }

  /// Of the pages that follow `parent_key` and lie on the device, the one that shares most leading tokens with `tokens`, and how many.
  struct Partial {
    PageId page = kNoPage;
    int32_t num_tokens = 0;
  };
  Partial longest_partial(const PageKey& parent_key, std::span<const int32_t> tokens) const;

 private:
  friend class SchedulerInspector;  // tests: all that the next plans depend on
  PageId find(const PageKey& key) const;
  void join_siblings(PageId page);
  void leave_siblings(const CachedPage& page);
  PageId& newest_sibling(const CachedPage& page);
  PageId newest_orphan(const PageKey& parent_key) const;

  std::vector<CachedPage> pages_;  // by id
  std::vector<PageId> unused_;
  PageKeyTable by_key_;
  std::unordered_map<PageKey, PageId, PageKeyHash> newest_orphan_;  // of those whose parent was not there, by its key: first pages of chains above all
};

}  // namespace terrace
