#include "runtime/prefix_hold.h"

#include <algorithm>

#include "runtime/cache/page_key.h"

namespace terrace {

void PrefixHold::take(Sequence& sequence) {
  if (sequence.needs_every_position()) return;
  forget_lost(sequence);
  const size_t held = sequence.prefix.size();
  find_more(sequence);
  if (sequence.prefix.size() <= std::max(held, sequence.prefix_decided)) return;
  sequence.prefix_decided = sequence.prefix.size();
  shorten(sequence, std::max(held, worth_fetching(sequence)));
}

bool PrefixHold::bring_near(Sequence& sequence) {
  size_t& near = sequence.num_near;
  while (near < sequence.prefix.size() && tiers_.near(sequence.prefix[near])) ++near;
  for (size_t i = near; i < sequence.prefix.size(); ++i) {
    tiers_.fetch(sequence.prefix[i]);  // no frame: in a later step; those behind it may have one, and make room in the host tier that it needs
  }
  return near == sequence.prefix.size();
}

void PrefixHold::keep_near(Sequence& sequence) {
  shorten(sequence, sequence.num_near);
}

void PrefixHold::let_go(Sequence& sequence) {
  shorten(sequence, 0);
  sequence.prefix_decided = 0;
}

// A page whose only copy a rank could not read is a miss, and so is all that follows it.
void PrefixHold::forget_lost(Sequence& sequence) {
  for (size_t i = sequence.num_near; i < sequence.prefix.size(); ++i) {
    const CachedPage& page = tiers_.pages().at(sequence.prefix[i]);
    if (page.anywhere() || page.move != 0) continue;
    shorten(sequence, i);
    return;
  }
}

// Others may have computed more in the meantime. Of pages that were found not worth fetching, only those that came to the device are added.
void PrefixHold::find_more(Sequence& sequence) {
  const auto size = static_cast<size_t>(page_tokens_);
  const std::span<const int32_t> tokens(sequence.tokens);
  const size_t most = std::min((tokens.size() - 1) / size, most_pages_);
  if (sequence.prefix.size() >= most) return;
  extend_keys(sequence.root, tokens, page_tokens_, sequence.keys);
  for (size_t i = sequence.prefix.size(); i < most; ++i) {
    const std::optional<PageId> page = tiers_.find(sequence.keys[i], tokens.subspan(i * size, size));
    if (!page) return;
    const CachedPage& found = tiers_.pages().at(*page);
    const Tier tier = found.in(Tier::kDevice) ? Tier::kDevice : found.in(Tier::kHost) ? Tier::kHost : Tier::kDisk;
    if (i < sequence.prefix_decided && tier != Tier::kDevice) return;
    tiers_.hold(*page);
    sequence.prefix.push_back(*page);
    sequence.prefix_tier.push_back(tier);
  }
}

// Leading pages whose fetching, with computing all the others, takes least time. Unmeasured rates are believed to be fast: the first use measures.
size_t PrefixHold::worth_fetching(const Sequence& sequence) const {
  const size_t count = sequence.prefix.size();
  if (rule_ == FetchRule::kNever) {
    return static_cast<size_t>(std::ranges::find_if(sequence.prefix_tier, [](Tier tier) { return tier != Tier::kDevice; }) - sequence.prefix_tier.begin());
  }
  if (rule_ == FetchRule::kAlways || !us_per_token_) return count;
  const double recompute = *us_per_token_ * page_tokens_;
  const double from_host = tiers_.ledger().us_per_page(Tier::kHost).value_or(0);
  const double from_disk = tiers_.ledger().us_per_page(Tier::kDisk).value_or(0) + from_host;
  const std::array<double, kNumTiers> fetch = {0, from_host, from_disk};
  double time = recompute * static_cast<double>(count);  // of fetching the first `i` pages and computing the rest
  double best_time = time;
  size_t best = 0;
  for (size_t i = 1; i <= count; ++i) {
    time += fetch[static_cast<size_t>(sequence.prefix_tier[i - 1])] - recompute;
    if (time > best_time) continue;
    best_time = time;
    best = i;
  }
  return best;
}

void PrefixHold::shorten(Sequence& sequence, size_t num_pages) {
  while (sequence.prefix.size() > num_pages) {
    tiers_.let_go(sequence.prefix.back());
    sequence.prefix.pop_back();
    sequence.prefix_tier.pop_back();
  }
  sequence.num_near = std::min(sequence.num_near, num_pages);
}

}  // namespace terrace
