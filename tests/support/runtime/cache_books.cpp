#include "tests/support/runtime/cache_books.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace terrace {
namespace {

constexpr Tier kTiers[] = {Tier::kDevice, Tier::kHost, Tier::kDisk};

const char* kind_name(auto kind) { return std::array{"nobody", "sequence", "page", "move"}[static_cast<size_t>(kind)]; }

std::string name(PageRef ref) { return fmt::format("{}:{}", std::array{"device", "host", "disk"}[static_cast<size_t>(ref.tier)], ref.frame); }

}  // namespace

CacheBooks::CacheBooks(const Scheduler& scheduler, const CacheWorld& world, const StepPlan* unsent)
    : scheduler_(scheduler), tiers_(scheduler.tiers()), world_(world), all_sent_(unsent == nullptr), inside_(scheduler) {
  for (const CacheWorld::Moving& moving : world.moving()) moves_.push_back(moving.move);
  if (unsent != nullptr) moves_.insert(moves_.end(), unsent->moves.begin(), unsent->moves.end());
  const std::span<const PageMove> planned = inside_.planned();
  moves_.insert(moves_.end(), planned.begin(), planned.end());
  for (const Tier tier : kTiers) owners_[static_cast<size_t>(tier)].resize(static_cast<size_t>(tiers_.num_frames(tier)));
  for (const auto& sequence : inside_.running()) {
    for (const SequenceGroup& group : sequence->groups) {
      for (const SequencePage& page : group.pages) {
        if (page.cached == kNoPage && page.place.frame != kNoFrame) own(page.place, Owner::Kind::kSequence, sequence->id);
      }
    }
  }
  for (PageId id = 0; id < tiers_.pages().num_ids(); ++id) {
    for (const Tier tier : kTiers) {
      if (is_alive(id) && tiers_.pages().at(id).in(tier)) own(tiers_.place(id, tier), Owner::Kind::kPage, id);
    }
  }
  for (const PageMove& move : moves_) {
    if (!move.is_check()) own(move.to, Owner::Kind::kMove, move.id);
  }
}

bool CacheBooks::is_alive(PageId id) const { return std::ranges::find(inside_.unused_ids(), id) == inside_.unused_ids().end(); }

void CacheBooks::own(PageRef ref, Owner::Kind kind, uint64_t id) {
  Owner& first = owner(ref);
  expect(first.kind == Owner::Kind::kNobody, "{} belongs to {} {} and to {} {}", name(ref), kind_name(first.kind), first.id, kind_name(kind), id);
  first = {kind, id};
}

std::vector<std::string> CacheBooks::faults() {
  check_frames();
  check_moves();
  check_pages();
  if (all_sent_) check_sequences();  // else a copied page's first rows are not there yet
  return faults_;
}

std::vector<PageRef> CacheBooks::free_frames() const {
  std::vector<PageRef> free;
  for (const Tier tier : kTiers) {
    for (uint32_t frame = 0; frame < static_cast<uint32_t>(tiers_.num_frames(tier)); ++frame) {
      if (owners_[static_cast<size_t>(tier)][frame].kind == Owner::Kind::kNobody) free.push_back({tier, frame});
    }
  }
  return free;
}

// A frame given back twice, or never, shows as a difference of these two counts.
void CacheBooks::check_frames() {
  for (const Tier tier : kTiers) {
    const auto free = std::ranges::count(owners_[static_cast<size_t>(tier)], Owner::Kind::kNobody, &Owner::kind);
    const auto owned = tiers_.num_frames(tier) - static_cast<int32_t>(free);
    expect(tiers_.num_used(tier) == owned, "tier {}: {} frames have an owner, {} are booked as used", static_cast<int>(tier), owned, tiers_.num_used(tier));
  }
}

void CacheBooks::check_moves() {
  expect(tiers_.ledger().size() == moves_.size(), "{} moves are booked, {} under way", tiers_.ledger().size(), moves_.size());
  std::set<uint32_t> moving;
  for (PageId id = 0; id < tiers_.pages().num_ids(); ++id) {
    if (is_alive(id) && tiers_.pages().at(id).move != 0) moving.insert(tiers_.pages().at(id).move);
  }
  for (const PageMove& move : moves_) {
    expect(moving.erase(move.id) == 1, "move {} is no page's", move.id);
    const Owner from = owner(move.from);
    const bool named = from.kind == Owner::Kind::kPage && tiers_.pages().at(static_cast<PageId>(from.id)).move == move.id;
    expect(named, "move {} starts from {}, which is not its page's any more", move.id, name(move.from));
  }
  expect(moving.empty(), "a page is booked as moving and does not move");
}

void CacheBooks::check_pages() {
  int32_t idle = 0;
  for (PageId id = 0; id < tiers_.pages().num_ids(); ++id) {
    if (!is_alive(id)) continue;
    const CachedPage& page = tiers_.pages().at(id);
    check_page(id, page);
    idle += static_cast<int32_t>(page.in(Tier::kDevice) && page.holds == page.in_place && page.move == 0);
  }
  expect(tiers_.num_available() == tiers_.num_free() + idle,
         "{} frames are free and {} pages idle, but {} can be had", tiers_.num_free(), idle, tiers_.num_available());
}

void CacheBooks::check_page(PageId id, const CachedPage& page) {
  int32_t holds = 0, in_place = 0, children = 0;
  for (const auto& sequence : inside_.waiting()) {
    for (const SequenceGroup& group : sequence->groups) holds += static_cast<int32_t>(std::ranges::count(group.prefix, id));
  }
  for (const auto& sequence : inside_.running()) {
    for (const SequenceGroup& group : sequence->groups) {
      for (const SequencePage& mapped : group.pages) {
        if (mapped.cached != id) continue;
        ++holds;
        in_place += static_cast<int32_t>(mapped.place.tier == Tier::kHost);
        expect(mapped.place == tiers_.place(id, mapped.place.tier), "sequence {} reads page {} where it does not lie: {}", sequence->id, id, name(mapped.place));
      }
    }
  }
  for (PageId child = 0; child < tiers_.pages().num_ids(); ++child) children += static_cast<int32_t>(is_alive(child) && tiers_.pages().at(child).parent == id);
  expect(page.holds == holds && page.in_place == in_place,
         "page {}: booked as held {} times, {} in place; it is {} and {}", id, page.holds, page.in_place, holds, in_place);
  expect(page.num_children == children, "page {} is booked with {} children and has {}", id, page.num_children, children);
  expect(page.anywhere() || holds > 0 || page.move != 0 || children > 0, "page {} is kept for nothing", id);
  for (const Tier tier : kTiers) {
    if (page.in(tier)) expect(holds_page(tiers_.place(id, tier), page), "the copy of page {} in {} is another's", id, name(tiers_.place(id, tier)));
  }
}

// Whether the frame holds the page's tokens, all with the mark of one group; of which, CacheWorld sees where rows read it.
bool CacheBooks::holds_page(PageRef place, const CachedPage& page) const {
  for (int32_t group = 0; group < world_.num_groups(); ++group) {
    if (std::ranges::equal(world_.page(place), page.tokens, {}, {}, [&](int32_t token) { return CacheWorld::marked(token, group); })) return true;
  }
  return false;
}

// That rows attend the right tokens CacheWorld looks after; here also of those that have no row just now.
void CacheBooks::check_sequences() {
  for (const auto& sequence : inside_.running()) {
    for (int32_t group = 0; group < world_.num_groups(); ++group) check_pages_of(*sequence, group);
  }
}

void CacheBooks::check_pages_of(const Sequence& sequence, int32_t group) {
  const std::vector<SequencePage>& pages = sequence.groups[static_cast<size_t>(group)].pages;
  const auto size = static_cast<int32_t>(world_.page({Tier::kDevice, 0}).size());
  for (int32_t p = 0; p < sequence.num_computed; ++p) {
    const auto index = static_cast<size_t>(p / size);
    if (index >= pages.size()) return expect(false, "sequence {} has no page of group {} for position {}", sequence.id, group, p);
    const PageRef place = pages[index].place;
    if (place.frame == kNoFrame) continue;  // out of its window
    expect(world_.page(place)[static_cast<size_t>(p % size)] == CacheWorld::marked(sequence.tokens[static_cast<size_t>(p)], group),
           "sequence {}, group {}, position {}: {} holds another token", sequence.id, group, p, name(place));
  }
}

}  // namespace terrace
