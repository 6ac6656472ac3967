#include "runtime/cache/page_key_table.h"

#include <utility>

namespace terrace {

void PageKeyTable::insert(const PageKey& key, PageId page) {
  if (2 * (size_ + 1) > slots_.size()) grow();
  put({hash_of(key), page});
  ++size_;
}

void PageKeyTable::put(Slot entry) {
  size_t i = home(entry.hash);
  while (slots_[i].page != kNoPage) i = next(i);
  slots_[i] = entry;
}

void PageKeyTable::grow() {
  constexpr size_t kLeast = 64;
  const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(slots_.empty() ? kLeast : 2 * slots_.size()));
  for (const Slot& slot : old) {
    if (slot.page != kNoPage) put(slot);
  }
}

// Those behind it move up, unless that would bring them before their home: so there are no holes in a run, and no marks where something was.
void PageKeyTable::erase(const PageKey& key, PageId page) {
  size_t hole = home(hash_of(key));
  while (slots_[hole].page != page) hole = next(hole);
  for (size_t i = next(hole); slots_[i].page != kNoPage; i = next(i)) {
    const size_t mask = slots_.size() - 1;
    if (((i - home(slots_[i].hash)) & mask) < ((i - hole) & mask)) continue;
    slots_[std::exchange(hole, i)] = slots_[i];
  }
  slots_[hole] = {};
  --size_;
}

}  // namespace terrace
