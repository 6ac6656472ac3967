// The pages of running sequences: maps, publishes, moves and lets them go, and gathers what the next plan must tell the ranks of it. Rank 0, step thread
// only. Who runs is the scheduler's business, which frames are free the tier manager's.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/cache/page_key.h"
#include "runtime/cache/page_table.h"
#include "runtime/cache/pages_in_sight.h"
#include "runtime/cache/tier_manager.h"
#include "runtime/sequence.h"
#include "runtime/step_plan.h"

namespace terrace {

class SequencePages {
 public:
  /// `in_sight`: of each layer group.
  SequencePages(TierManager& tiers, std::span<const PagesInSight> in_sight, int32_t page_tokens, int32_t num_slots)
      : tiers_(tiers), in_sight_(in_sight), page_tokens_(page_tokens), tables_(num_slots, static_cast<int32_t>(in_sight.size())) {}

  /// A sequence that has been given its slot.
  void open(const Sequence& sequence);
  /// Lets all of its pages go; its slot is free afterwards.
  void close(Sequence& sequence);
  /// Tells its pages, which it still holds, how it went.
  void ended(const Sequence& sequence);
  /// Takes over the cached pages that the sequence held while it waited.
  void adopt_prefix(Sequence& sequence);
  /// Has the beginning of a cached page copied that begins as the sequence goes on.
  void copy_partial_page(Sequence& sequence, StepPlan& plan);
  /// Frames that it lacks for its first `num_pages` pages of all groups.
  int64_t num_missing(const Sequence& sequence, int32_t num_pages) const;
  /// A frame of its own behind the last page of a group that has fewer than `num_pages`. False: there is none.
  bool add_page(Sequence& sequence, int32_t num_pages);
  /// Offers the pages that have become full to the cache.
  void publish(Sequence& sequence);
  /// Lets rows read the last of its pages on the host, so that the device's copy may go, and prepares as many of those before it. kReady: done;
  /// kComing: soon; kNever: it has none that could.
  TierManager::Readiness move_to_host(Sequence& sequence, size_t num_pages);
  /// Lets pages go that no row will see again.
  void let_unseen_go(Sequence& sequence);
  /// Frames that its present tokens need beside those that it has.
  int64_t num_to_come(const Sequence& sequence) const;

  /// Slot and frame updates since the last plan, and the digest.
  void put_updates(StepPlan& plan);
  const PageTables& tables() const { return tables_; }

 private:
  void map(Sequence& sequence, size_t group, SequencePage page);
  void update_table(const Sequence& sequence, size_t group, size_t index);
  void adopt_group(Sequence& sequence, size_t group);
  void publish_group(Sequence& sequence, size_t group);
  void let_unseen_go(Sequence& sequence, size_t group);
  TierManager::Readiness move_to_host(Sequence& sequence, size_t group, size_t num_pages);
  std::vector<PageId> partial_pages(const Sequence& sequence, int32_t& num_tokens) const;
  PageKey key_before(const Sequence& sequence, int32_t page) const { return terrace::key_before(sequence.chain(page_tokens_), sequence.keys, page); }
  void give_up(const SequencePage& page);
  int32_t pages_for(int32_t positions) const { return (positions + page_tokens_ - 1) / page_tokens_; }

  TierManager& tiers_;
  std::span<const PagesInSight> in_sight_;
  int32_t page_tokens_;
  PageTables tables_;
  std::vector<SlotUpdate> slot_updates_;    // since the last plan, in order
  std::vector<FrameUpdate> frame_updates_;  // likewise, of slots that are still open
};

}  // namespace terrace
