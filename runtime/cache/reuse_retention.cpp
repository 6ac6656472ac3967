#include "runtime/cache/reuse_retention.h"

#include <algorithm>
#include <cmath>

namespace terrace {
namespace {

constexpr size_t kHistory = size_t{1} << 18;  // uses; 6 MB, and up to twice that for their index
constexpr int kRefreshes = 4;
constexpr int32_t kRootBranches = 8;  // what more chains go on from, a system prompt, says nothing of what follows it
constexpr double kDamping = 0.12;  // of the mean time between two uses: below it, age says little
constexpr double kLate = 0.5;      // of the same

}  // namespace

ReuseRetention::ReuseRetention() : history_(kHistory) {}

PageKind ReuseRetention::kind_of(const Past& past) const {
  if (past.num_uses > 1) {
    const PageKind first = past.late ? PageKind::kTwiceLate : PageKind::kTwice;
    return static_cast<PageKind>(static_cast<int>(first) + std::min(past.num_uses, 5) - 2);
  }
  if (past.num_branches == 0) return PageKind::kEnd;
  return past.continues ? PageKind::kContinued : PageKind::kNew;
}

double ReuseRetention::value_of(const Past& past) const {
  if (doubt_ == 0) return static_cast<double>(past.last_use) * 1e-15;  // below what any other rule gives
  const auto age = static_cast<double>(history_.now() - past.last_use);
  const PageKind kind = kind_of(past);
  // The likelihood once more: a density is of few pages and uncertain, what is known of the kind as a whole is less so.
  const double learnt = history_.likelihood(kind) * history_.density(kind, static_cast<int64_t>(age));
  if (learnt_weight_ == 1) return learnt;
  const double plain =
      std::pow(history_.likelihood(kind), 2 * doubt_) / (age + 1 + doubt_ * kDamping * history_.mean_gap());
  return learnt_weight_ == 0 ? plain : plain * std::pow(learnt / plain, learnt_weight_);
}

void ReuseRetention::use(PageId page) {
  Past& past = pasts_[page];
  past.late = static_cast<double>(history_.age(past.key)) > kLate * history_.mean_gap();
  past.num_uses = history_.num_uses(past.key) + 1;
  past.last_use = history_.use(past.key, kind_of(past), pages_.size());
  doubt_ = std::clamp(3 * (0.9 - history_.recent_share()), 0.0, 1.0);
  learnt_weight_ = std::clamp(1.5 - 3 * history_.recent_share(), 0.0, 1.0);
  pages_.set_value(page, value_of(past));
  refresh_some();
}

void ReuseRetention::insert(PageId page, const PageTraits& traits, int64_t) {
  if (page >= pasts_.size()) pasts_.resize(static_cast<size_t>(page) + 1);
  pages_.insert(page, traits, 0);
  Past& past = pasts_[page];
  past = {};
  past.key = traits.key != 0 ? traits.key : ~++num_without_key_;
  if (pages_.contains(traits.parent)) {
    Past& parent = pasts_[traits.parent];
    if (parent.num_branches++ == 0) history_.set_kind(parent.key, kind_of(parent));
    past.continues = parent.num_uses > 1 ? parent.num_branches <= kRootBranches : parent.continues;
  }
  use(page);
}

void ReuseRetention::hit(PageId page, int64_t) { use(page); }

// Values change as pages grow older and more is learnt. To set them all right at once would be a pause, so each use
// sets some right, in turn: a tier's worth of uses has done all of them four times.
void ReuseRetention::refresh_some() {
  for (int i = 0; i < kRefreshes; ++i) {
    if (++next_refresh_ >= pasts_.size()) next_refresh_ = 0;
    if (pages_.contains(next_refresh_)) pages_.set_value(next_refresh_, value_of(pasts_[next_refresh_]));
  }
}

}  // namespace terrace
