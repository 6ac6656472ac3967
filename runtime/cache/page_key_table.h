// From keys to page ids: open addressing over one array, since rank 0 looks up, adds and takes out a hundred pages a step and every lookup misses the caches. Keys are
// kept by the owner, who compares them. Step thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cache/page.h"
#include "runtime/cache/retention.h"

namespace terrace {

class PageKeyTable {
 public:
  /// The id under this key for which `is_it(id)` holds, else kNoPage.
  template <typename IsIt>
  PageId find(const PageKey& key, IsIt is_it) const {
    if (slots_.empty()) return kNoPage;
    for (size_t i = home(hash_of(key));; i = next(i)) {
      const Slot& slot = slots_[i];
      if (slot.page == kNoPage || (slot.hash == hash_of(key) && is_it(slot.page))) return slot.page;
    }
  }
  /// A page that is not there yet.
  void insert(const PageKey& key, PageId page);
  /// A page that is there.
  void erase(const PageKey& key, PageId page);
  size_t size() const { return size_; }

 private:
  struct Slot {
    uint32_t hash = 0;
    PageId page = kNoPage;
  };
  static uint32_t hash_of(const PageKey& key) { return static_cast<uint32_t>(key.low); }  // of a hash, so its bits are as good as any
  size_t home(uint32_t hash) const { return hash & (slots_.size() - 1); }
  size_t next(size_t slot) const { return (slot + 1) & (slots_.size() - 1); }
  void put(Slot entry);
  void grow();

  std::vector<Slot> slots_;  // a power of two, at most half of them taken
  size_t size_ = 0;
};

}  // namespace terrace
