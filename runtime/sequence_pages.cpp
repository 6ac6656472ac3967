#include "runtime/sequence_pages.h"

#include <algorithm>
#include <utility>

#include "runtime/cache/page_key.h"

namespace terrace {

void SequencePages::open(const Sequence& sequence) {
  tables_.open(sequence.slot, sequence.id);
  slot_updates_.push_back({sequence.id, sequence.slot, SlotAction::kOpen, sequence.sparse_from});
}

void SequencePages::close(Sequence& sequence) {
  for (SequenceGroup& group : sequence.groups) {
    for (size_t i = group.pages.size(); i-- > 0;) give_up(group.pages[i]);
    group = {};
  }
  std::erase_if(frame_updates_, [&](const FrameUpdate& update) { return update.slot == sequence.slot; });
  tables_.close(sequence.slot);
  slot_updates_.push_back({sequence.id, sequence.slot, SlotAction::kClose});
}

void SequencePages::ended(const Sequence& sequence) {
  const EndedRequest request = {static_cast<int32_t>(pages_for(sequence.num_prompt())), sequence.num_output()};
  for (const SequenceGroup& group : sequence.groups) {
    for (const SequencePage& page : group.pages) {
      if (page.cached != kNoPage) tiers_.ended(page.cached, request, sequence.request.cache_priority);
    }
  }
}

void SequencePages::put_updates(StepPlan& plan) {
  plan.slot_updates = std::exchange(slot_updates_, {});
  plan.frames = std::exchange(frame_updates_, {});
  plan.digest = tables_.digest();
}

int64_t SequencePages::num_missing(const Sequence& sequence, int32_t num_pages) const {
  int64_t missing = 0;
  for (const SequenceGroup& group : sequence.groups) missing += std::max<int64_t>(num_pages - static_cast<int64_t>(group.pages.size()), 0);
  return missing;
}

bool SequencePages::add_page(Sequence& sequence, int32_t num_pages) {
  const auto shorter = std::ranges::find_if(sequence.groups, [&](const SequenceGroup& group) { return group.pages.size() < static_cast<size_t>(num_pages); });
  const std::optional<uint32_t> frame = tiers_.take_frame();
  if (frame) map(sequence, static_cast<size_t>(shorter - sequence.groups.begin()), {{Tier::kDevice, *frame}, kNoPage});
  return frame.has_value();
}

TierManager::Readiness SequencePages::move_to_host(Sequence& sequence, size_t num_pages) {
  using Readiness = TierManager::Readiness;
  Readiness best = Readiness::kNever;
  for (size_t group = 0; group < sequence.groups.size(); ++group) {
    const Readiness readiness = move_to_host(sequence, group, num_pages);
    if (readiness == Readiness::kReady) return readiness;
    if (readiness == Readiness::kComing) best = readiness;
  }
  return best;
}

// The last ones first: a tier never gives a page up before those that follow it.
TierManager::Readiness SequencePages::move_to_host(Sequence& sequence, size_t group, size_t num_pages) {
  using Readiness = TierManager::Readiness;
  std::vector<SequencePage>& pages = sequence.groups[group].pages;
  std::vector<size_t>& on_device = sequence.groups[group].on_device;
  Readiness first = Readiness::kNever;
  for (size_t i = 0; i < std::min(num_pages, on_device.size()); ++i) {
    const Readiness readiness = tiers_.prepare_in_place(pages[on_device[on_device.size() - 1 - i]].cached);
    if (i == 0) first = readiness;
    if (readiness == Readiness::kNever) break;
  }
  if (first != Readiness::kReady) return first;
  SequencePage& page = pages[on_device.back()];
  tiers_.read_in_place(page.cached);
  page.place = tiers_.place(page.cached, Tier::kHost);
  update_table(sequence, group, on_device.back());
  on_device.pop_back();
  return first;
}

void SequencePages::map(Sequence& sequence, size_t group, SequencePage page) {
  std::vector<SequencePage>& pages = sequence.groups[group].pages;
  pages.push_back(page);
  update_table(sequence, group, pages.size() - 1);
}

void SequencePages::update_table(const Sequence& sequence, size_t group, size_t index) {
  const FrameUpdate update = {sequence.slot, static_cast<int32_t>(group), static_cast<int32_t>(index), sequence.groups[group].pages[index].place};
  tables_.map(update.slot, update.group, update.index, update.page);
  frame_updates_.push_back(update);
}

void SequencePages::adopt_prefix(Sequence& sequence) {
  for (size_t i = 0; i < sequence.prefix_pages(); ++i) {
    Tier farthest = Tier::kDevice;  // of the pages of these positions
    for (const SequenceGroup& group : sequence.groups) {
      if (group.prefix[i] != kNoPage) farthest = std::max(farthest, group.prefix_tier[i]);
    }
    (farthest == Tier::kDevice ? sequence.sources.device : farthest == Tier::kHost ? sequence.sources.host : sequence.sources.disk) += page_tokens_;
  }
  sequence.num_computed = static_cast<int32_t>(sequence.prefix_pages()) * page_tokens_;
  for (size_t group = 0; group < sequence.groups.size(); ++group) adopt_group(sequence, group);
  sequence.prefix_decided = 0;
}

void SequencePages::adopt_group(Sequence& sequence, size_t index) {
  SequenceGroup& group = sequence.groups[index];
  for (const PageId page : group.prefix) {  // its hold goes from waiting to running
    if (page == kNoPage) {
      map(sequence, index, {});
      ++group.num_let_go;
      continue;
    }
    tiers_.used(page);
    const bool on_device = tiers_.pages().at(page).in(Tier::kDevice);
    if (!on_device) tiers_.read_in_place(page);
    if (on_device) group.on_device.push_back(group.pages.size());
    map(sequence, index, {tiers_.place(page, on_device ? Tier::kDevice : Tier::kHost), page});
  }
  group.num_published = static_cast<int32_t>(group.prefix.size());
  group.prefix.clear();
  group.prefix_tier.clear();
  group.num_near = 0;
}

// Where a cached page begins as the sequence goes on, its first rows are the sequence's too: K and V of a position don't depend on what follows.
void SequencePages::copy_partial_page(Sequence& sequence, StepPlan& plan) {
  if (!tiers_.keeps_pages() || sequence.request.prompt_logprobs || sequence.needs_every_position()) return;
  int32_t num_tokens = 0;
  const std::vector<PageId> from = partial_pages(sequence, num_tokens);
  for (const PageId page : from) tiers_.hold(page);
  std::vector<uint32_t> to;
  while (to.size() < from.size()) {
    const std::optional<uint32_t> frame = tiers_.take_frame();
    if (!frame) break;
    to.push_back(*frame);
  }
  if (to.size() < from.size()) {
    for (const uint32_t frame : to) tiers_.give_back(frame);
    num_tokens = 0;
    to.clear();
  }
  for (size_t group = 0; group < to.size(); ++group) {
    tiers_.used(from[group]);
    plan.copies.push_back({tiers_.place(from[group], Tier::kDevice).frame, to[group]});
    map(sequence, group, {{Tier::kDevice, to[group]}, kNoPage});
  }
  sequence.num_computed += num_tokens;
  sequence.sources.device += num_tokens;
  for (const PageId page : from) tiers_.let_go(page);
}

// The pages of all groups, on the device, of the tokens that begin as the sequence goes on; none: there are no such. `num_tokens`: that are alike.
std::vector<PageId> SequencePages::partial_pages(const Sequence& sequence, int32_t& num_tokens) const {
  const auto begin = static_cast<size_t>(sequence.num_computed);
  const std::span<const int32_t> wanted = std::span<const int32_t>(sequence.tokens).subspan(begin, sequence.tokens.size() - 1 - begin);
  const PageKey parent = key_before(sequence, sequence.num_computed / page_tokens_);
  const PrefixIndex::Partial partial = tiers_.longest_partial(parent, wanted);
  if (partial.page == kNoPage) return {};
  std::vector<PageId> pages = {partial.page};
  const std::vector<int32_t>& tokens = tiers_.pages().at(partial.page).tokens;
  const PageKey key = next_key(parent, tokens);
  for (size_t group = 1; group < sequence.groups.size(); ++group) {
    const std::optional<PageId> page = tiers_.find(group_key(key, static_cast<int32_t>(group)), tokens);
    if (!page || !tiers_.pages().at(*page).in(Tier::kDevice)) return {};
    pages.push_back(*page);
  }
  num_tokens = partial.num_tokens;
  return pages;
}

int64_t SequencePages::num_to_come(const Sequence& sequence) const {
  int64_t frames = 0;
  for (size_t i = 0; i < sequence.groups.size(); ++i) {
    const SequenceGroup& group = sequence.groups[i];
    const auto mapped = static_cast<int64_t>(group.pages.size());
    const int64_t unmapped = pages_for(sequence.num_tokens()) - mapped;
    frames += std::max<int64_t>(std::min(unmapped, in_sight_[i].most_at_a_time(sequence.num_tokens()) - (mapped - group.num_let_go)), 0);
  }
  return frames;
}

void SequencePages::publish(Sequence& sequence) {
  if (!tiers_.keeps_pages() || sequence.num_published() >= sequence.num_computed / page_tokens_) return;
  extend_keys(sequence.chain(page_tokens_), sequence.tokens, sequence.keys);
  for (size_t group = 0; group < sequence.groups.size(); ++group) publish_group(sequence, group);
}

void SequencePages::publish_group(Sequence& sequence, size_t index) {
  SequenceGroup& group = sequence.groups[index];
  const auto number = static_cast<int32_t>(index);
  for (; group.num_published < sequence.num_computed / page_tokens_; ++group.num_published) {
    const auto i = static_cast<size_t>(group.num_published);
    if (group.pages[i].place.frame == kNoFrame) continue;  // let go before it could be published
    PageRecord record = {group_key(sequence.keys[i], number), group_key(key_before(sequence, group.num_published), number), group.num_published, {}, in_sight_[index].limited()};
    const auto first = sequence.tokens.begin() + static_cast<std::ptrdiff_t>(i) * page_tokens_;
    record.tokens.assign(first, first + page_tokens_);
    const std::optional<PageId> cached = tiers_.publish(record, group.pages[i].place.frame);
    if (!cached) return;
    const PageRef place = tiers_.place(*cached, Tier::kDevice);
    const bool elsewhere = place != group.pages[i].place;  // another sequence computed it too, and this one goes on with the other's
    group.pages[i] = {place, *cached};
    group.on_device.push_back(i);
    if (elsewhere) update_table(sequence, index, i);
  }
}

void SequencePages::let_unseen_go(Sequence& sequence) {
  for (size_t group = 0; group < sequence.groups.size(); ++group) let_unseen_go(sequence, group);
}

void SequencePages::let_unseen_go(Sequence& sequence, size_t index) {
  SequenceGroup& group = sequence.groups[index];
  const PagesInSight::Range unseen = in_sight_[index].unseen_from(sequence.num_computed);
  for (int32_t page = unseen.begin + group.num_let_go; page < unseen.end; ++page, ++group.num_let_go) {
    const auto i = static_cast<size_t>(page);
    give_up(std::exchange(group.pages[i], SequencePage()));
    std::erase(group.on_device, i);
    update_table(sequence, index, i);
  }
}

void SequencePages::give_up(const SequencePage& page) {
  if (page.cached == kNoPage) {
    if (page.place.frame != kNoFrame) tiers_.give_back(page.place.frame);
    return;
  }
  if (page.place.tier == Tier::kHost) tiers_.leave_place(page.cached);
  tiers_.let_go(page.cached);
}

}  // namespace terrace
