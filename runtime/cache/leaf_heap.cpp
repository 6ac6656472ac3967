#include "runtime/cache/leaf_heap.h"

#include <cassert>
#include <limits>

namespace terrace {

LeafHeap::Page& LeafHeap::at(PageId page) {
  if (page >= pages_.size()) pages_.resize(static_cast<size_t>(page) + 1);
  return pages_[page];
}

void LeafHeap::insert(PageId page, const PageTraits& traits, double value) {
  Page& entry = at(page);
  assert(!entry.present && entry.num_pins == 0);
  entry.present = true;
  entry.traits = traits;
  entry.rank = {traits.priority, traits.alone ? std::numeric_limits<int32_t>::max() - traits.depth : traits.depth, value};
  ++size_;
  enter_or_leave(page);
  add_child(traits.parent, 1);
}

void LeafHeap::erase(PageId page) {
  Page& entry = at(page);
  assert(entry.present);
  entry.present = false;
  entry.num_pins = 0;
  --size_;
  enter_or_leave(page);
  add_child(entry.traits.parent, -1);
}

void LeafHeap::add_child(PageId parent, int32_t difference) {
  if (parent == kNoPage) return;
  at(parent).num_children += difference;
  enter_or_leave(parent);
}

void LeafHeap::set_value(PageId page, double value) {
  at(page).rank.value = value;
  settle(page);
}

void LeafHeap::set_priority(PageId page, int32_t priority) {
  at(page).rank.priority = priority;
  settle(page);
}

void LeafHeap::pin(PageId page) {
  ++at(page).num_pins;
  enter_or_leave(page);
}

void LeafHeap::unpin(PageId page) {
  assert(at(page).num_pins > 0);
  --at(page).num_pins;
  enter_or_leave(page);
}

std::optional<PageId> LeafHeap::lowest() const {
  if (heap_.empty()) return std::nullopt;
  return heap_.front();
}

void LeafHeap::enter_or_leave(PageId page) {
  const Page& entry = pages_[page];
  const bool may_go = entry.present && entry.num_children == 0 && entry.num_pins == 0;
  if (may_go && entry.place == kNowhere) {
    heap_.push_back(page);
    sift_up(static_cast<uint32_t>(heap_.size()) - 1);
  } else if (!may_go && entry.place != kNowhere) {
    take_out(entry.place);
  }
}

bool LeafHeap::goes_before(PageId a, PageId b) const {
  const Rank& first = pages_[a].rank;
  const Rank& second = pages_[b].rank;
  if (first.priority != second.priority) return first.priority < second.priority;
  if (first.value != second.value) return first.value < second.value;
  if (first.depth != second.depth) return first.depth > second.depth;
  return a < b;
}

/// Its rank has changed.
void LeafHeap::settle(PageId page) {
  const Page& entry = pages_[page];
  if (entry.place == kNowhere) return;
  sift_up(entry.place);
  sift_down(entry.place);
}

void LeafHeap::put(uint32_t place, PageId page) {
  heap_[place] = page;
  pages_[page].place = place;
}

void LeafHeap::take_out(uint32_t place) {
  pages_[heap_[place]].place = kNowhere;
  const PageId last = heap_.back();
  heap_.pop_back();
  if (place == heap_.size()) return;
  put(place, last);
  settle(last);
}

void LeafHeap::sift_up(uint32_t place) {
  const PageId page = heap_[place];
  while (place > 0 && goes_before(page, heap_[(place - 1) / 2])) {
    put(place, heap_[(place - 1) / 2]);
    place = (place - 1) / 2;
  }
  put(place, page);
}

void LeafHeap::sift_down(uint32_t place) {
  const PageId page = heap_[place];
  for (uint32_t child = 2 * place + 1; child < heap_.size(); child = 2 * place + 1) {
    if (child + 1 < heap_.size() && goes_before(heap_[child + 1], heap_[child])) ++child;
    if (!goes_before(heap_[child], page)) break;
    put(place, heap_[child]);
    place = child;
  }
  put(place, page);
}

}  // namespace terrace
