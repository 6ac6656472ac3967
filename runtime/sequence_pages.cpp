#include "runtime/sequence_pages.h"

#include <algorithm>
#include <utility>

#include "runtime/cache/page_key.h"

namespace terrace {

void SequencePages::open(const Sequence& sequence) {
  tables_.open(sequence.slot, sequence.id);
  slot_updates_.push_back({sequence.id, sequence.slot, SlotAction::kOpen});
}

void SequencePages::close(Sequence& sequence) {
  for (size_t i = sequence.pages.size(); i-- > 0;) give_up(sequence.pages[i]);
  sequence.pages.clear();
  sequence.num_published = 0;
  sequence.num_let_go = 0;
  sequence.on_device.clear();
  std::erase_if(frame_updates_, [&](const FrameUpdate& update) { return update.slot == sequence.slot; });
  tables_.close(sequence.slot);
  slot_updates_.push_back({sequence.id, sequence.slot, SlotAction::kClose});
}

void SequencePages::ended(const Sequence& sequence) {
  const EndedRequest request = {static_cast<int32_t>(pages_for(sequence.num_prompt())), sequence.num_output()};
  for (const SequencePage& page : sequence.pages) {
    if (page.cached != kNoPage) tiers_.ended(page.cached, request, sequence.request.cache_priority);
  }
}

void SequencePages::put_updates(StepPlan& plan) {
  plan.slot_updates = std::exchange(slot_updates_, {});
  plan.frames = std::exchange(frame_updates_, {});
  plan.digest = tables_.digest();
}

bool SequencePages::add_page(Sequence& sequence) {
  const std::optional<uint32_t> frame = tiers_.take_frame();
  if (frame) map(sequence, {{Tier::kDevice, *frame}, kNoPage});
  return frame.has_value();
}

// The last ones first: a tier never gives a page up before those that follow it.
TierManager::Readiness SequencePages::move_to_host(Sequence& sequence, size_t num_pages) {
  using Readiness = TierManager::Readiness;
  std::vector<size_t>& on_device = sequence.on_device;
  Readiness first = Readiness::kNever;
  for (size_t i = 0; i < std::min(num_pages, on_device.size()); ++i) {
    const Readiness readiness = tiers_.prepare_in_place(sequence.pages[on_device[on_device.size() - 1 - i]].cached);
    if (i == 0) first = readiness;
    if (readiness == Readiness::kNever) break;
  }
  if (first != Readiness::kReady) return first;
  SequencePage& page = sequence.pages[on_device.back()];
  tiers_.read_in_place(page.cached);
  page.place = tiers_.place(page.cached, Tier::kHost);
  update_table(sequence, on_device.back());
  on_device.pop_back();
  return first;
}

void SequencePages::map(Sequence& sequence, SequencePage page) {
  sequence.pages.push_back(page);
  update_table(sequence, sequence.pages.size() - 1);
}

void SequencePages::update_table(const Sequence& sequence, size_t index) {
  const FrameUpdate update = {sequence.slot, static_cast<int32_t>(index), sequence.pages[index].place};
  tables_.map(update.slot, update.index, update.page);
  frame_updates_.push_back(update);
}

void SequencePages::adopt_prefix(Sequence& sequence) {
  for (size_t i = 0; i < sequence.prefix.size(); ++i) {
    const PageId page = sequence.prefix[i];  // its hold goes from waiting to running
    const bool on_device = tiers_.pages().at(page).in(Tier::kDevice);
    if (!on_device) tiers_.read_in_place(page);
    if (on_device) sequence.on_device.push_back(sequence.pages.size());
    map(sequence, {tiers_.place(page, on_device ? Tier::kDevice : Tier::kHost), page});
    const Tier tier = sequence.prefix_tier[i];
    (tier == Tier::kDevice ? sequence.sources.device : tier == Tier::kHost ? sequence.sources.host : sequence.sources.disk) += page_tokens_;
  }
  sequence.num_published = static_cast<int32_t>(sequence.prefix.size());
  sequence.num_computed = sequence.num_published * page_tokens_;
  sequence.prefix.clear();
  sequence.prefix_tier.clear();
  sequence.num_near = 0;
  sequence.prefix_decided = 0;
}

// Where a cached page begins as the sequence goes on, its first rows are the sequence's too: K and V of a position don't depend on what follows.
void SequencePages::copy_partial_page(Sequence& sequence, StepPlan& plan) {
  if (!tiers_.keeps_pages() || sequence.request.prompt_logprobs || sequence.needs_every_position()) return;
  const auto begin = static_cast<size_t>(sequence.num_computed);
  const std::span<const int32_t> wanted = std::span<const int32_t>(sequence.tokens).subspan(begin, sequence.tokens.size() - 1 - begin);
  const PageKey& parent = sequence.num_published == 0 ? sequence.root : sequence.keys[static_cast<size_t>(sequence.num_published) - 1];
  const PrefixIndex::Partial partial = tiers_.longest_partial(parent, wanted);
  if (partial.page == kNoPage) return;
  tiers_.hold(partial.page);
  if (const std::optional<uint32_t> frame = tiers_.take_frame()) {
    plan.copies.push_back({tiers_.place(partial.page, Tier::kDevice).frame, *frame});
    map(sequence, {{Tier::kDevice, *frame}, kNoPage});
    sequence.num_computed += partial.num_tokens;
    sequence.sources.device += partial.num_tokens;
  }
  tiers_.let_go(partial.page);
}

// For its present tokens, beside those that it has.
int64_t SequencePages::num_to_come(const Sequence& sequence) const {
  const auto mapped = static_cast<int64_t>(sequence.pages.size());
  const int64_t unmapped = pages_for(sequence.num_tokens()) - mapped;
  return std::max<int64_t>(std::min(unmapped, in_sight_.most_at_a_time(sequence.num_tokens()) - (mapped - sequence.num_let_go)), 0);
}

void SequencePages::publish(Sequence& sequence) {
  if (!tiers_.keeps_pages()) return;
  const int32_t full = std::min(sequence.num_computed / page_tokens_, in_sight_.num_shareable());
  if (sequence.num_published >= full) return;
  extend_keys(sequence.root, sequence.tokens, page_tokens_, sequence.keys);
  const auto size = static_cast<size_t>(page_tokens_);
  for (; sequence.num_published < full; ++sequence.num_published) {
    const auto i = static_cast<size_t>(sequence.num_published);
    if (sequence.pages[i].place.frame == kNoFrame) return;  // let go before it could be published
    PageRecord record = {sequence.keys[i], i == 0 ? sequence.root : sequence.keys[i - 1], sequence.num_published, {}};
    const auto first = sequence.tokens.begin() + static_cast<std::ptrdiff_t>(i * size);
    record.tokens.assign(first, first + page_tokens_);
    const std::optional<PageId> cached = tiers_.publish(record, sequence.pages[i].place.frame);
    if (!cached) return;
    const PageRef place = tiers_.place(*cached, Tier::kDevice);
    const bool elsewhere = place != sequence.pages[i].place;  // another sequence computed it too, and this one goes on with the other's
    sequence.pages[i] = {place, *cached};
    sequence.on_device.push_back(i);
    if (elsewhere) update_table(sequence, i);
  }
}

void SequencePages::let_unseen_go(Sequence& sequence) {
  const PagesInSight::Range unseen = in_sight_.unseen_from(sequence.num_computed);
  for (int32_t page = unseen.begin + sequence.num_let_go; page < unseen.end; ++page, ++sequence.num_let_go) {
    const auto i = static_cast<size_t>(page);
    give_up(std::exchange(sequence.pages[i], SequencePage()));
    std::erase(sequence.on_device, i);
    update_table(sequence, i);
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
