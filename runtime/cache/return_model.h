// How likely a page is to be used again, learnt from pages that were and were not: a rate by age, times a factor for each thing known about the page.
// Step thread only. Time is counted in uses of pages, since a cache fills by them. It knows kinds of pages, not pages.
//
// The rate is counted for spans of age that double; from it comes the hit density (Beckmann, Chen and Cidon, "LHD: improving cache hit rate by maximizing hit
// density", NSDI 2018): the best ratio of expected hits to time that keeping a page from now on can have. The factors are fitted as in Poisson regression,
// each by what it was wrong by over all that it has expected so far. So nothing is known beforehand of which answers, places or counts are worth keeping.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "runtime/cache/retention.h"

namespace terrace {

/// All that the model is told of a page, as of its last use.
struct PageKind {
  static PageKind of(int32_t num_uses, int32_t depth, const EndedRequest& request);

  static constexpr uint8_t kMostUses = 6;
  static constexpr uint8_t kMostAnswer = 15;
  uint8_t num_uses = 1;    // at most kMostUses
  bool often = false;      // a system prompt, say
  uint8_t place = 0;       // in the request: unknown, inside its prompt, the end of it, its answer
  uint8_t answer = 0;      // its length: the power of two above it; 0: not known (yet)
};

class ReturnModel {
 public:
  ReturnModel();

  /// A page of this kind was used again at this age.
  void returned(const PageKind& kind, int64_t age) { learn(kind, span_of(age), 1, 0.5); }
  /// A page of this kind has come to the end of a span without being used.
  void waited(const PageKind& kind, size_t span) { learn(kind, span, 0, 1); }
  /// Makes what has been learnt so far count half as much.
  void forget_half();
  /// Draws the densities from what was learnt; the callers say when, since it takes microseconds.
  void update_densities();

  /// Expected hits per time of keeping such a page.
  double value(const PageKind& kind, int64_t age) const;

  static constexpr size_t kNumSpans = 16;
  static size_t span_of(int64_t age);
  static int64_t span_start(size_t span) { return span == 0 ? 0 : int64_t{8} << span; }

 private:
  struct Span {
    double used = 0, reached = 0;  // pages used within it; those that came to it, each as many as its factors say
    double density = 0;
  };
  struct Factor {
    double log = 0, value = 1;
    double expected = 0;  // uses that it had a part in expecting
  };
  static constexpr size_t kNumRates = 3, kNumFactors = 4, kNumLevels = 32;
  using Levels = std::array<size_t, kNumFactors>;

  static size_t rate_of(const PageKind& kind) { return kind.often ? 2 : kind.num_uses > 1 ? 1 : 0; }
  static Levels levels_of(const PageKind& kind);
  double factors_of(const Levels& levels) const;
  void learn(const PageKind& kind, size_t span, double used, double share);

  std::array<std::array<Span, kNumSpans>, kNumRates> rates_ = {};
  std::array<std::array<Factor, kNumLevels>, kNumFactors> factors_ = {};
};

}  // namespace terrace
