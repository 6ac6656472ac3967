#include "runtime/cache/reuse_retention.h"

namespace terrace {
namespace {

constexpr size_t kHistory = size_t{1} << 18;  // uses; 6 MB, and up to twice that for their index
constexpr int kRefreshes = 4;
constexpr double kNothingToWin = 0.99;  // where LRU finds so much of what comes back

}  // namespace

ReuseRetention::ReuseRetention() : history_(kHistory) {}

void ReuseRetention::use(PageId page) {
  Past& past = pasts_[page];
  past.last_use = history_.now();
  past.num_uses = history_.use(past.key, pages_.size());
  past.kind = PageKind::of(past.num_uses, 0, {});
  refresh(page);
  refresh_some();
}

void ReuseRetention::insert(PageId page, const PageTraits& traits, int64_t) {
  if (page >= pasts_.size()) pasts_.resize(static_cast<size_t>(page) + 1);
  pages_.insert(page, traits, 0);
  pasts_[page] = {};
  pasts_[page].key = traits.key != 0 ? traits.key : ~++num_without_key_;
  use(page);
  if (traits.request.answer_tokens >= 0) ended(page, traits.request);
}

void ReuseRetention::hit(PageId page, int64_t) { use(page); }

void ReuseRetention::ended(PageId page, const EndedRequest& request) {
  Past& past = pasts_[page];
  past.kind = PageKind::of(past.num_uses, pages_.traits(page).depth, request);
  history_.set_kind(past.last_use, past.kind);
  refresh(page);
}

void ReuseRetention::refresh(PageId page) {
  const Past& past = pasts_[page];
  const bool as_lru = history_.recent_share() > kNothingToWin;  // below what is learnt, and all of it is soon
  pages_.set_value(page, as_lru ? static_cast<double>(past.last_use) * 1e-20 : history_.value(past.kind, past.last_use));
}

// Values change as pages grow older and more is learnt. To set them all right at once would be a pause, so each use
// sets some right, in turn: a tier's worth of uses has done all of them four times.
void ReuseRetention::refresh_some() {
  for (int i = 0; i < kRefreshes; ++i) {
    if (++next_refresh_ >= pasts_.size()) next_refresh_ = 0;
    if (pages_.contains(next_refresh_)) refresh(next_refresh_);
  }
}

}  // namespace terrace
