// How a waiting sequence comes to pages that the cache has already: finds them, holds them, has them fetched, or leaves them where computing
// them again is faster (LAW 6). Rank 0, step thread only; the books are the TierManager's.
#pragma once

#include <cstdint>
#include <optional>

#include "runtime/cache/tier_manager.h"
#include "runtime/sequence.h"

namespace terrace {

enum class FetchRule { kWhereFaster, kAlways, kNever };

class PrefixHold {
 public:
  /// A sequence takes over at most `most_pages`.
  PrefixHold(TierManager& tiers, int32_t page_tokens, int32_t most_pages, FetchRule rule)
      : tiers_(tiers), page_tokens_(page_tokens), most_pages_(static_cast<size_t>(most_pages)), rule_(rule) {}

  /// Holds the sequence's leading pages as far as the cache has them and they are worth having. At least its last token stays to be computed.
  void take(Sequence& sequence);
  /// Has what is held and cannot be read yet fetched. True when all can be read.
  bool bring_near(Sequence& sequence);
  /// Lets go of what follows the first page that cannot be read yet.
  void keep_near(Sequence& sequence);
  void let_go(Sequence& sequence);

  /// What prompt tokens cost to compute, as measured over the last steps.
  void set_us_per_token(double us) { us_per_token_ = us; }

 private:
  void forget_lost(Sequence& sequence);
  void find_more(Sequence& sequence);
  size_t worth_fetching(const Sequence& sequence) const;
  void shorten(Sequence& sequence, size_t num_pages);

  TierManager& tiers_;
  int32_t page_tokens_;
  size_t most_pages_;
  FetchRule rule_;
  std::optional<double> us_per_token_;
};

}  // namespace terrace
