// A test's look into the scheduler's and the tier manager's books, for CacheBooks. Reads only; policies must be "lru".
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/cache/lru_retention.h"
#include "runtime/scheduler.h"

namespace terrace {

class SchedulerInspector {
 public:
  explicit SchedulerInspector(const Scheduler& scheduler) : scheduler_(scheduler) {}

  const auto& waiting() const { return scheduler_.waiting_; }
  const auto& running() const { return scheduler_.running_; }
  /// Asked for since the last plan.
  std::span<const PageMove> planned() const { return scheduler_.tiers_.planned_.moves; }
  std::span<const PageId> published() const { return scheduler_.tiers_.published_; }
  std::span<const PageId> unused_ids() const { return scheduler_.tiers_.index_.unused_; }
  int64_t now() const { return scheduler_.tiers_.now_; }
  /// When a page that lies in the tier was used last.
  double last_use(PageId page, Tier tier) const {
    return static_cast<const LruRetention&>(*scheduler_.tiers_.books_[static_cast<size_t>(tier)].policy).pages_.value(page);
  }

 private:
  const Scheduler& scheduler_;
};

}  // namespace terrace
