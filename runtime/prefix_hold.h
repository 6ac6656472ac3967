// How a waiting sequence comes to pages that the cache has already: finds them, holds them, has them fetched, or leaves them where computing
// them again is faster (LAW 6). Rank 0, step thread only; the books are the TierManager's.
//
// A beginning can be gone on from where each layer group has the pages of it that are in sight at its end: all of them, or those of the sinks and the
// last window. Only these are held.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/base/function_ref.h"
#include "runtime/cache/pages_in_sight.h"
#include "runtime/cache/tier_manager.h"
#include "runtime/sequence.h"

namespace terrace {

enum class FetchRule { kWhereFaster, kAlways, kNever };

class PrefixHold {
 public:
  /// `in_sight`: of each layer group.
  PrefixHold(TierManager& tiers, std::span<const PagesInSight> in_sight, int32_t page_tokens, FetchRule rule)
      : tiers_(tiers), in_sight_(in_sight), page_tokens_(page_tokens), rule_(rule) {}

  /// Holds the sequence's leading pages as far as the cache has them and they are worth having. At least its last token stays to be computed.
  void take(Sequence& sequence);
  /// Has what is held and cannot be read yet fetched. True when all can be read.
  bool bring_near(Sequence& sequence);
  /// Lets go of what follows the first page that cannot be read yet.
  void keep_near(Sequence& sequence);
  void let_go(Sequence& sequence);
  /// Of the pages that it holds, those that have their frame already where rows will read them.
  int64_t num_with_frame(const Sequence& sequence) const;

  /// What prompt tokens cost to compute, as measured over the last steps.
  void set_us_per_token(double us) { us_per_token_ = us; }

 private:
  struct Found {
    PageId page = kNoPage;
    Tier tier = Tier::kDevice;  // the nearest one
  };
  using Has = FunctionRef<bool(size_t group, size_t page)>;

  std::optional<Found> find(const Sequence& sequence, size_t group, size_t page) const;
  size_t longest(size_t least, size_t most, Has has) const;
  std::optional<size_t> first_missing(size_t length, Has has) const;
  PagesInSight::Range unseen_after(size_t group, size_t num_pages) const { return in_sight_[group].unseen_from(static_cast<int32_t>(num_pages) * page_tokens_); }
  bool has_lost(const Sequence& sequence) const;
  size_t most_pages(Sequence& sequence) const;
  size_t worth_fetching(const Sequence& sequence, size_t most) const;
  /// What a page costs, us: to compute its positions, to fetch it from a tier.
  struct Costs {
    double compute = 0;
    std::array<double, kNumTiers> fetch = {};
  };
  size_t cheapest(const Sequence& sequence, size_t most, const Costs& costs) const;
  void set_length(Sequence& sequence, size_t num_pages);

  TierManager& tiers_;
  std::span<const PagesInSight> in_sight_;
  int32_t page_tokens_;
  FetchRule rule_;
  std::optional<double> us_per_token_;
};

}  // namespace terrace
