// What must be true of rank 0's books of the cache at any time, and a text of all that their future depends on. For tests that look at every state.
#pragma once

#include <fmt/format.h>

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cache/page.h"
#include "runtime/scheduler.h"
#include "runtime/step_plan.h"
#include "tests/support/runtime/cache_world.h"
#include "tests/support/runtime/scheduler_inspector.h"

namespace terrace {

class CacheBooks {
 public:
  /// `unsent`: a plan that the world has not been given yet.
  CacheBooks(const Scheduler& scheduler, const CacheWorld& world, const StepPlan* unsent = nullptr);

  /// Each frame has one owner or is free, holders are counted right, moves and copies are where the books say, copies hold their page's tokens: one
  /// sentence for each thing that is not so.
  std::vector<std::string> faults();
  /// Frames of a tier that nobody owns.
  std::vector<PageRef> free_frames() const;
  /// Equal texts: the same events lead to the same plans from here on. Numbers that only grow (steps, move ids) are told by their order.
  std::string state() const;

 private:
  struct Owner {
    enum class Kind : uint8_t { kNobody, kSequence, kPage, kMove } kind = Kind::kNobody;
    uint64_t id = 0;
  };

  void check_frames();
  void check_moves();
  void check_pages();
  void check_page(PageId id, const CachedPage& page);
  bool holds_page(PageRef place, const CachedPage& page) const;
  void check_sequences();
  void check_pages_of(const Sequence& sequence, int32_t group);
  template <typename... Parts>
  void expect(bool good, fmt::format_string<Parts...> sentence, Parts&&... parts) {
    if (!good) faults_.push_back(fmt::format(sentence, std::forward<Parts>(parts)...));
  }
  Owner& owner(PageRef ref) { return owners_[static_cast<size_t>(ref.tier)].at(ref.frame); }
  void own(PageRef ref, Owner::Kind kind, uint64_t id);
  bool is_alive(PageId id) const;

  const Scheduler& scheduler_;
  const TierManager& tiers_;
  const CacheWorld& world_;
  const bool all_sent_;
  SchedulerInspector inside_;
  std::vector<PageMove> moves_;                       // in flight, wherever they are
  std::array<std::vector<Owner>, kNumTiers> owners_;  // by frame
  std::vector<std::string> faults_;
};

}  // namespace terrace
