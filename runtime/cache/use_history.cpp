#include "runtime/cache/use_history.h"

#include <algorithm>
#include <bit>

namespace terrace {
namespace {

constexpr int64_t kUpdateEvery = 64;  // uses
constexpr double kNearPrior = 10;
constexpr double kImmediate = 0.25;     // of the tier's size: whatever a policy does, such pages are still there
constexpr double kMostReturns = 20'000;  // that the share is drawn from
constexpr int64_t kTeachEvery = 4;    // one use of so many teaches: neighbours in a chain tell the same

}  // namespace

UseHistory::UseHistory(size_t capacity) : uses_(std::bit_ceil(capacity)) { last_use_.reserve(uses_.size()); }

double UseHistory::recent_share() const { return (num_near_ + kNearPrior) / (num_not_immediate_ + kNearPrior); }

int32_t UseHistory::use(uint64_t key, int32_t tier_size) {
  forget_oldest();
  int32_t num_uses = 1;
  const auto [last, fresh] = last_use_.try_emplace(key, now_);
  if (!fresh) {
    Use& before = at(last->second);
    before.latest = false;
    num_uses += before.num_uses;
    if (last->second % kTeachEvery == 0) model_.returned(before.kind, now_ - last->second);
    note_return(last->second, tier_size);
    last->second = now_;
  }
  at(now_) = {key, num_uses, PageKind::of(num_uses, 0, {}), true};
  ++num_recent_;
  shrink_recent(tier_size);
  if (now_ % kTeachEvery == 0) learn_from_waiting();
  if (now_ % kUpdateEvery == 0) model_.update_densities();
  if (++now_ % static_cast<int64_t>(uses_.size()) == 0) model_.forget_half();
  return num_uses;
}

/// The ring has come round.
void UseHistory::forget_oldest() {
  Use& oldest = at(now_);
  if (!oldest.latest) return;
  last_use_.erase(oldest.key);
  oldest.latest = false;
  if (now_ - static_cast<int64_t>(uses_.size()) >= recent_begin_) --num_recent_;
}

void UseHistory::shrink_recent(int32_t tier_size) {
  recent_begin_ = std::max(recent_begin_, now_ + 1 - static_cast<int64_t>(uses_.size()));
  for (; num_recent_ > tier_size; ++recent_begin_) {
    if (at(recent_begin_).latest) --num_recent_;
  }
}

void UseHistory::note_return(int64_t last_use, int32_t tier_size) {
  const bool near = last_use >= recent_begin_;
  if (near) --num_recent_;
  if (static_cast<double>(now_ - last_use) <= kImmediate * tier_size) return;
  num_near_ += near ? 1 : 0;
  num_not_immediate_ += 1;
  if (num_not_immediate_ < kMostReturns) return;
  num_near_ /= 2;
  num_not_immediate_ /= 2;
}

void UseHistory::set_kind(int64_t time, const PageKind& kind) {
  if (time > now_ - static_cast<int64_t>(uses_.size())) at(time).kind = kind;
}

/// One use comes to the end of each span now, if its page has not been used since. Spans begin at multiples of 16, so it is one that teaches.
void UseHistory::learn_from_waiting() {
  for (size_t span = 0; span + 1 < ReturnModel::kNumSpans; ++span) {
    const int64_t age = ReturnModel::span_start(span + 1);
    if (age > now_ || age >= static_cast<int64_t>(uses_.size())) return;
    const Use& use = at(now_ - age);
    if (use.latest) model_.waited(use.kind, span);
  }
}

}  // namespace terrace
