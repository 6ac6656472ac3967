#include "runtime/prefix_hold.h"

#include <algorithm>
#include <utility>

#include "runtime/cache/page_key.h"

namespace terrace {
namespace {

// Where windows have holes, so many of them are looked behind in a step.
constexpr int kMostHoles = 64;

}  // namespace

// Others may have computed more in the meantime. Of pages that were found not worth fetching, only those that came to the device are added.
void PrefixHold::take(Sequence& sequence) {
  if (sequence.needs_every_position()) return;
  const size_t most = most_pages(sequence);
  if (has_lost(sequence)) set_length(sequence, longest(0, sequence.prefix_pages(), [&](size_t group, size_t page) { return find(sequence, group, page).has_value(); }));
  const size_t held = sequence.prefix_pages();
  const size_t found = longest(held, most, [&](size_t group, size_t page) {
    const std::optional<Found> place = find(sequence, group, page);
    return place && (page < held || page >= sequence.prefix_decided || place->tier == Tier::kDevice);
  });
  if (found <= std::max(held, sequence.prefix_decided)) return set_length(sequence, found);
  sequence.prefix_decided = found;
  set_length(sequence, std::max(held, worth_fetching(sequence, found)));
}

size_t PrefixHold::most_pages(Sequence& sequence) const {
  extend_keys(sequence.chain(page_tokens_), sequence.tokens, sequence.keys);
  return (sequence.tokens.size() - 1) / static_cast<size_t>(page_tokens_);
}

bool PrefixHold::bring_near(Sequence& sequence) {
  bool all_near = true;
  for (SequenceGroup& group : sequence.groups) {
    const auto can_be_read = [&](PageId page) { return page == kNoPage || tiers_.near(page); };
    while (group.num_near < group.prefix.size() && can_be_read(group.prefix[group.num_near])) ++group.num_near;
    for (size_t i = group.num_near; i < group.prefix.size(); ++i) {
      if (group.prefix[i] != kNoPage) tiers_.fetch(group.prefix[i]);  // no frame: in a later step; those behind it may have one, and make room in the host tier that it needs
    }
    all_near = all_near && group.num_near == group.prefix.size();
  }
  return all_near;
}

void PrefixHold::keep_near(Sequence& sequence) {
  const size_t near = std::ranges::min_element(sequence.groups, {}, &SequenceGroup::num_near)->num_near;
  set_length(sequence, longest(0, near, [&](size_t group, size_t page) {
    const std::optional<Found> found = find(sequence, group, page);
    return found && tiers_.near(found->page);
  }));
}

void PrefixHold::let_go(Sequence& sequence) {
  set_length(sequence, 0);
  sequence.prefix_decided = 0;
}

int64_t PrefixHold::num_with_frame(const Sequence& sequence) const {
  int64_t count = 0;
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    const SequenceGroup& group = sequence.groups[index];
    const auto num_near = static_cast<int32_t>(group.num_near);
    count += num_near - unseen_after(index, group.prefix.size()).count_before(num_near);
    for (size_t i = group.num_near; i < group.prefix.size(); ++i) count += group.prefix[i] != kNoPage && tiers_.has_near_frame(group.prefix[i]);
  }
  return count;
}

// A page whose only copy a rank could not read is a miss.
bool PrefixHold::has_lost(const Sequence& sequence) const {
  return std::ranges::any_of(sequence.groups, [&](const SequenceGroup& group) {
    return std::any_of(group.prefix.begin() + static_cast<std::ptrdiff_t>(group.num_near), group.prefix.end(), [&](PageId id) {
      return id != kNoPage && !tiers_.pages().at(id).anywhere() && tiers_.pages().at(id).move == 0;
    });
  });
}

std::optional<PrefixHold::Found> PrefixHold::find(const Sequence& sequence, size_t group, size_t page) const {
  const SequenceGroup& own = sequence.groups[group];
  const auto size = static_cast<size_t>(page_tokens_);
  if (page < own.prefix.size() && own.prefix[page] != kNoPage) {
    const CachedPage& held = tiers_.pages().at(own.prefix[page]);
    if (!held.anywhere() && held.move == 0) return std::nullopt;
    return Found{own.prefix[page], own.prefix_tier[page]};
  }
  const std::optional<PageId> id = tiers_.find(group_key(sequence.keys[page], static_cast<int32_t>(group)), std::span(sequence.tokens).subspan(page * size, size));
  if (!id) return std::nullopt;
  const CachedPage& found = tiers_.pages().at(*id);
  return Found{*id, found.in(Tier::kDevice) ? Tier::kDevice : found.in(Tier::kHost) ? Tier::kHost : Tier::kDisk};
}

// The longest beginning of at most `most` pages that can be gone on from; one of `least` can. Groups that see everything must have each page of it. Windows
// are looked at from its end: where one of them has no page, a beginning ends there or well behind.
size_t PrefixHold::longest(size_t least, size_t most, Has has) const {
  const auto all_have = [&](size_t page, bool limited) {
    for (size_t group = 0; group < in_sight_.size(); ++group) {
      if ((limited || !in_sight_[group].limited()) && !has(group, page)) return false;
    }
    return true;
  };
  while (least < most && all_have(least, true)) ++least;
  size_t end = least;
  while (end < most && all_have(end, false)) ++end;
  for (int holes = 0; end > least && holes < kMostHoles; ++holes) {
    const std::optional<size_t> missing = first_missing(end, has);
    if (!missing) return end;
    end = *missing;
  }
  return least;
}

// Of the pages that are in sight at the end of `length` pages, the last one that a group with a window doesn't have.
std::optional<size_t> PrefixHold::first_missing(size_t length, Has has) const {
  std::optional<size_t> last;
  for (size_t group = 0; group < in_sight_.size(); ++group) {
    if (!in_sight_[group].limited()) continue;
    const PagesInSight::Range unseen = unseen_after(group, length);
    for (size_t page = length; page-- > last.value_or(0);) {
      if (unseen.holds(static_cast<int32_t>(page))) {
        page = static_cast<size_t>(unseen.begin);  // of the sinks is the one before it
      } else if (!has(group, page)) {
        last = page;
      }
    }
  }
  return last;
}

// Leading pages whose fetching, with computing all the others, takes least time. Unmeasured rates are believed to be fast: the first use measures.
size_t PrefixHold::worth_fetching(const Sequence& sequence, size_t most) const {
  if (rule_ == FetchRule::kNever) {
    return longest(0, most, [&](size_t group, size_t page) {
      const std::optional<Found> found = find(sequence, group, page);
      return found && found->tier == Tier::kDevice;
    });
  }
  if (rule_ == FetchRule::kAlways || !us_per_token_) return most;
  const double from_host = tiers_.ledger().us_per_page(Tier::kHost).value_or(0);
  const double from_disk = tiers_.ledger().us_per_page(Tier::kDisk).value_or(0) + from_host;
  return cheapest(sequence, most, {.compute = *us_per_token_ * page_tokens_, .fetch = {0, from_host, from_disk}});
}

size_t PrefixHold::cheapest(const Sequence& sequence, size_t most, const Costs& costs) const {
  struct Sight {  // of a group, at the end of the pages so far
    double time = 0;
    int64_t missing = 0;
    int32_t num_unseen = 0;  // pages that have left it
  };
  std::vector<Sight> sights(in_sight_.size());
  const auto count = [&](size_t group, size_t page, int sign) {
    const std::optional<Found> found = find(sequence, group, page);
    if (!found) sights[group].missing += sign;
    else sights[group].time += sign * costs.fetch[static_cast<size_t>(found->tier)];
  };
  double best_time = costs.compute * static_cast<double>(most);
  size_t best = 0;
  for (size_t length = 1; length <= most; ++length) {
    double time = costs.compute * static_cast<double>(most - length);
    bool whole = true;
    for (size_t group = 0; group < sights.size(); ++group) {
      count(group, length - 1, 1);
      const PagesInSight::Range unseen = unseen_after(group, length);
      for (int32_t& left = sights[group].num_unseen; unseen.begin + left < unseen.end; ++left) count(group, static_cast<size_t>(unseen.begin + left), -1);
      time += sights[group].time;
      whole = whole && sights[group].missing == 0;
    }
    if (!whole || time > best_time) continue;
    best_time = time;
    best = length;
  }
  return best;
}

// Holds what is in sight at the end of so many pages, which the cache has, and lets all else go.
void PrefixHold::set_length(Sequence& sequence, size_t num_pages) {
  const size_t before = sequence.prefix_pages();
  if (num_pages == before) return;
  for (size_t index = 0; index < sequence.groups.size(); ++index) {
    SequenceGroup& group = sequence.groups[index];
    const PagesInSight::Range unseen = unseen_after(index, num_pages);
    const auto wanted = [&](size_t page) { return page < num_pages && !unseen.holds(static_cast<int32_t>(page)); };
    const size_t first = in_sight_[index].limited() ? 0 : before;
    for (size_t page = first; page < num_pages; ++page) {
      if (page >= group.prefix.size()) group.prefix.push_back(kNoPage), group.prefix_tier.push_back(Tier::kDevice);
      if (!wanted(page) || group.prefix[page] != kNoPage) continue;
      const Found found = *find(sequence, index, page);
      tiers_.hold(found.page);
      group.prefix[page] = found.page;
      group.prefix_tier[page] = found.tier;
      group.num_near = std::min(group.num_near, page);
    }
    for (size_t page = group.prefix.size(); page-- > std::min(first, num_pages);) {
      if (wanted(page)) continue;
      if (group.prefix[page] != kNoPage) tiers_.let_go(std::exchange(group.prefix[page], kNoPage));
    }
    group.prefix.resize(num_pages, kNoPage);
    group.prefix_tier.resize(num_pages);
    group.num_near = std::min(group.num_near, num_pages);
  }
}

}  // namespace terrace
