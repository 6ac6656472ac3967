// When pages of each kind are used again: learnt from the last uses of all pages, of those that were given up as well.
// Step thread only. Time is counted in uses of pages, since a cache fills by them. It knows keys, not tiers.
//
// For each kind of page and each span of age it counts the pages that had come so far and were used within the span, or
// not. From these comes the hit density (Beckmann, Chen and Cidon, "LHD: improving cache hit rate by maximizing hit
// density", NSDI 2018): the best ratio of expected hits to time that keeping a page from now on can have. A kind of
// which little is known is taken for all kinds' mean times a guess.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace terrace {

/// Of a page by its past: what tells most about whether it is used again.
enum class PageKind : uint8_t {
  kNew,        // used once, in a chain that was new with it
  kContinued,  // used once, behind pages that were known: the next turn often leaves it out
  kEnd,        // used once, nothing came after it: often a part of a prompt and its answer that no other prompt has
  kTwice,
  kThrice,
  kFourTimes,
  kOften,
  kTwiceLate,  // as above, but it came back later than is usual: its next use is less likely, and later
  kThriceLate,
  kFourTimesLate,
  kOftenLate,
};
inline constexpr int kNumPageKinds = 11;

class UseHistory {
 public:
  /// The last `capacity` uses are remembered; a power of two.
  explicit UseHistory(size_t capacity);

  /// How often the page has been used, as far as is remembered.
  int32_t num_uses(uint64_t key) const;
  /// How long ago it was used last; 0 for a page that is not remembered.
  int64_t age(uint64_t key) const;
  /// The page is used now, in a tier of so many pages, and is of this kind from now on. Returns the time.
  int64_t use(uint64_t key, PageKind kind, int32_t tier_size);
  /// What was found out about a page after its last use.
  void set_kind(uint64_t key, PageKind kind);

  int64_t now() const { return now_; }
  /// Expected hits per time of keeping a page of this kind whose last use was `age` ago.
  double density(PageKind kind, int64_t age) const { return densities_[static_cast<size_t>(kind)][span_of(age)]; }
  /// How much likelier a page of this kind is to be used again than pages as a whole.
  double likelihood(PageKind kind) const { return likelihoods_[static_cast<size_t>(kind)]; }
  /// Of the uses of known pages, how long ago the use before was.
  double mean_gap() const { return num_gaps_ > 0 ? sum_of_gaps_ / num_gaps_ : 0; }
  /// Of the uses of known pages that are not immediate, the share that an LRU tier of that size finds. 1
  /// while little is known.
  double recent_share() const;

 private:
  static constexpr int kFirstOctave = 3;  // ages below 2^3 are one span, two spans an octave from there
  static constexpr size_t kNumSpans = 30;
  struct Use {
    uint64_t key = 0;
    int32_t num_uses = 0;
    PageKind kind = PageKind::kNew;
    bool latest = false;  // not used again since
  };
  struct Counts {
    double used = 0, passed = 0;  // pages that were used within the span; that came through it unused
  };
  using Spans = std::array<Counts, kNumSpans>;
  using Values = std::array<double, kNumSpans>;

  static size_t span_of(int64_t age);
  static int64_t span_start(size_t span);
  const Use& at(int64_t time) const { return uses_[static_cast<size_t>(time) & (uses_.size() - 1)]; }
  Use& at(int64_t time) { return uses_[static_cast<size_t>(time) & (uses_.size() - 1)]; }
  void note_gap(PageKind kind, int64_t last_use, int32_t tier_size);
  void forget_oldest();
  void shrink_recent(int32_t tier_size);
  void pass_spans();
  void forget_half();
  void learn(size_t kind);
  Values common_chances() const;
  double likelihood_of(size_t kind, const Values& common) const;
  Values chances(size_t kind, const Values& common) const;
  static Values best_densities(const Values& chances);

  std::vector<Use> uses_;  // a ring, by time
  std::unordered_map<uint64_t, int64_t> last_use_;
  std::array<Spans, kNumPageKinds> counts_ = {};
  std::array<Values, kNumPageKinds> densities_ = {};
  std::array<double, kNumPageKinds> likelihoods_ = {};
  double sum_of_gaps_ = 0, num_gaps_ = 0;
  double num_near_ = 0, num_not_immediate_ = 0;
  int64_t now_ = 0;
  int64_t recent_begin_ =
      0;  // the last uses of the tier_size pages used last lie from here to now: what LRU would hold
  int32_t num_recent_ = 0;
};

}  // namespace terrace
