#include "runtime/cache/use_history.h"

#include <algorithm>
#include <bit>

namespace terrace {
namespace {

constexpr int64_t kLearnEvery = 16;  // uses; one kind after the other, so that no step pays for all

// What is taken for granted before anything is known, in pages' worth of experience.
constexpr double kCommonPrior = 16;
constexpr double kCommonChance = 0.1;  // in each span: the longer a page was not used, the rarer, as LRU has it
constexpr double kKindPrior = 100;
constexpr std::array<double, kNumPageKinds> kKindGuess = {1,   0.3, 0.05, 1.2, 1.2, 1.2,
                                                          1.2, 1.2, 1.2,  1.2, 1.2};  // likelihood
constexpr double kSpanPrior = 100;
constexpr double kNearPrior = 50;

constexpr double kImmediate = 0.25;  // of the tier's size: whatever a policy does, such pages are still there

}  // namespace

UseHistory::UseHistory(size_t capacity) : uses_(std::bit_ceil(capacity)) {
  last_use_.reserve(uses_.size());
  for (size_t kind = 0; kind < kNumPageKinds; ++kind) learn(kind);
}

size_t UseHistory::span_of(int64_t age) {
  const auto unsigned_age = static_cast<uint64_t>(age);
  const int octave = std::bit_width(unsigned_age) - 1 - kFirstOctave;
  if (octave < 0) return 0;
  const uint64_t upper_half = (unsigned_age >> (octave + kFirstOctave - 1)) & 1;
  return std::min(1 + 2 * static_cast<size_t>(octave) + upper_half, kNumSpans - 1);
}

int64_t UseHistory::span_start(size_t span) {
  if (span == 0) return 0;
  const int64_t octave = int64_t{1} << ((span - 1) / 2 + kFirstOctave);
  return span % 2 == 1 ? octave : octave + octave / 2;
}

int32_t UseHistory::num_uses(uint64_t key) const {
  const auto found = last_use_.find(key);
  return found == last_use_.end() ? 0 : at(found->second).num_uses;
}

int64_t UseHistory::age(uint64_t key) const {
  const auto found = last_use_.find(key);
  return found == last_use_.end() ? 0 : now_ - found->second;
}

void UseHistory::set_kind(uint64_t key, PageKind kind) {
  const auto found = last_use_.find(key);
  if (found != last_use_.end()) at(found->second).kind = kind;
}

double UseHistory::recent_share() const { return (num_near_ + kNearPrior) / (num_not_immediate_ + kNearPrior); }

int64_t UseHistory::use(uint64_t key, PageKind kind, int32_t tier_size) {
  forget_oldest();
  int32_t num_uses = 1;
  const auto [last, fresh] = last_use_.try_emplace(key, now_);
  if (!fresh) {
    Use& before = at(last->second);
    before.latest = false;
    num_uses += before.num_uses;
    note_gap(before.kind, last->second, tier_size);
    if (last->second >= recent_begin_) --num_recent_;
    last->second = now_;
  }
  at(now_) = {key, num_uses, kind, true};
  ++num_recent_;
  shrink_recent(tier_size);
  pass_spans();
  if (now_ % kLearnEvery == 0) learn(static_cast<size_t>(now_ / kLearnEvery % kNumPageKinds));
  if ((now_ + 1) % static_cast<int64_t>(uses_.size()) == 0) forget_half();
  return now_++;
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

void UseHistory::note_gap(PageKind kind, int64_t last_use, int32_t tier_size) {
  const int64_t gap = now_ - last_use;
  counts_[static_cast<size_t>(kind)][span_of(gap)].used += 1;
  sum_of_gaps_ += static_cast<double>(gap);
  num_gaps_ += 1;
  if (static_cast<double>(gap) <= kImmediate * tier_size) return;
  num_not_immediate_ += 1;
  if (last_use >= recent_begin_) num_near_ += 1;
}

/// One use leaves each span now, if its page has not been used since.
void UseHistory::pass_spans() {
  for (size_t span = 0; span + 1 < kNumSpans; ++span) {
    const int64_t age = span_start(span + 1);
    if (age > now_ || age >= static_cast<int64_t>(uses_.size())) break;
    const Use& use = at(now_ - age);
    if (use.latest) counts_[static_cast<size_t>(use.kind)][span].passed += 1;
  }
}

void UseHistory::forget_half() {
  for (Spans& spans : counts_) {
    for (Counts& counts : spans) counts = {counts.used / 2, counts.passed / 2};
  }
  for (double* sum : {&sum_of_gaps_, &num_gaps_, &num_near_, &num_not_immediate_}) *sum /= 2;
}

void UseHistory::learn(size_t kind) {
  const Values common = common_chances();
  likelihoods_[kind] = likelihood_of(kind, common);
  densities_[kind] = best_densities(chances(kind, common));
}

/// Of a page of any kind that has come to a span: that it is used within it.
UseHistory::Values UseHistory::common_chances() const {
  Values common;
  for (size_t span = 0; span < kNumSpans; ++span) {
    double used = kCommonPrior * kCommonChance, all = kCommonPrior;
    for (const Spans& kind : counts_) {
      used += kind[span].used;
      all += kind[span].used + kind[span].passed;
    }
    common[span] = used / all;
  }
  return common;
}

double UseHistory::likelihood_of(size_t kind, const Values& common) const {
  double used = kKindPrior * kKindGuess[kind], expected = kKindPrior;
  for (size_t span = 0; span < kNumSpans; ++span) {
    used += counts_[kind][span].used;
    expected += (counts_[kind][span].used + counts_[kind][span].passed) * common[span];
  }
  return used / expected;
}

/// The kind's own, drawn to the common ones times its likelihood.
UseHistory::Values UseHistory::chances(size_t kind, const Values& common) const {
  Values chances;
  for (size_t span = 0; span < kNumSpans; ++span) {
    const Counts& own = counts_[kind][span];
    chances[span] = (own.used + kSpanPrior * std::min(0.95, likelihoods_[kind] * common[span])) /
                    (own.used + own.passed + kSpanPrior);
  }
  return chances;
}

/// For each span, the best over all ages at which the page may be given up at last.
UseHistory::Values UseHistory::best_densities(const Values& chances) {
  Values densities = {};
  for (size_t from = 0; from < kNumSpans; ++from) {
    double alive = 1, hits = 0, time = 0;
    for (size_t span = from; span + 1 < kNumSpans; ++span) {
      const auto width = static_cast<double>(span_start(span + 1) - span_start(span));
      hits += alive * chances[span];
      time += alive * width * (1 - chances[span] / 2);
      alive *= 1 - chances[span];
      densities[from] = std::max(densities[from], hits / time);
    }
  }
  return densities;
}

}  // namespace terrace
