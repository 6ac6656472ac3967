#include "runtime/cache/tier_manager.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/base/log.h"

namespace terrace {
namespace {

constexpr Tier kTiers[] = {Tier::kDevice, Tier::kHost, Tier::kDisk};

size_t index_of(Tier tier) { return static_cast<size_t>(tier); }

constexpr int kMostFailedWrites = 8;  // in a row; then the disk is left alone

bool in_colder_than(const CachedPage& page, Tier tier) {
  return (tier == Tier::kDevice && page.in(Tier::kHost)) || (tier != Tier::kDisk && page.in(Tier::kDisk));
}

}  // namespace

TierManager::TierManager(const Options& options)
    : options_(options),
      books_{Book{FramePool(options.num_frames[0]), make_retention_policy(options.policy)},
             Book{FramePool(options.num_frames[1]), make_retention_policy(options.policy)},
             Book{FramePool(options.num_frames[2]), make_retention_policy(options.policy)}},
      ledger_(options.num_ranks) {}

std::optional<uint32_t> TierManager::take_frame() {
  if (const std::optional<uint32_t> frame = device_pool().allocate()) return frame;
  const std::optional<PageId> victim = book(Tier::kDevice).policy->victim();
  if (!victim) return std::nullopt;
  drop_copy(*victim, Tier::kDevice);
  return device_pool().allocate();
}

std::optional<PageId> TierManager::find(const PageKey& key, std::span<const int32_t> tokens) const {
  const std::optional<PageId> page = index_.find(key, tokens);
  return page && index_.at(*page).anywhere() ? page : std::nullopt;
}

PrefixIndex::Partial TierManager::longest_partial(const PageKey& parent_key, std::span<const int32_t> tokens) const {
  return index_.longest_partial(parent_key, tokens);
}

void TierManager::hold(PageId id) {
  CachedPage& page = index_.at(id);
  change_holds(page, 1);
  page.request = {};
  refresh(page, id);
}

void TierManager::used(PageId id) {
  for (const Tier tier : kTiers) {
    if (index_.at(id).in(tier)) book(tier).policy->hit(id, now_);
  }
}

void TierManager::let_go(PageId id) {
  CachedPage& page = index_.at(id);
  change_holds(page, -1);
  if (page.holds == 0) page.verified = false;
  refresh(page, id);
  index_.erase_if_unused(id);
}

void TierManager::change_holds(CachedPage& page, int32_t by) {
  const auto each_tier = [&](void (PageAges::*count)(const CachedPage&)) {
    for (const Tier tier : kTiers) {
      if (page.in(tier)) (book(tier).ages.*count)(page);
    }
  };
  each_tier(&PageAges::take_out);
  page.holds += by;
  if (page.holds == 0) page.let_go_second = second_;
  each_tier(&PageAges::add);
}

void TierManager::tick(int64_t second) {
  second_ = second;
  for (Book& each : books_) each.ages.tick(second);
}

void TierManager::ended(PageId id, const EndedRequest& request, int32_t priority) {
  CachedPage& page = index_.at(id);
  const bool rises = priority > page.priority;
  if (rises) page.priority = priority;
  page.request = request;
  for (const Tier tier : kTiers) {
    if (!page.in(tier)) continue;
    if (rises) book(tier).policy->set_priority(id, priority);
    book(tier).policy->ended(id, request);
  }
}

void TierManager::read_in_place(PageId id) {
  CachedPage& page = index_.at(id);
  ++page.in_place;
  refresh(page, id);
}

void TierManager::leave_place(PageId id) {
  CachedPage& page = index_.at(id);
  --page.in_place;
  refresh(page, id);
}

bool TierManager::near(PageId id) const {
  const CachedPage& page = index_.at(id);
  return page.in(Tier::kDevice) || page.verified;
}

bool TierManager::has_near_frame(PageId id) const {
  const CachedPage& page = index_.at(id);
  return page.in(Tier::kDevice) || (page.in(Tier::kHost) && (page.move != 0 || options_.in_place));
}

std::optional<PageId> TierManager::publish(const PageRecord& record, uint32_t frame) {
  std::optional<PageId> id = index_.find(record.key, record.tokens);
  if (id && index_.at(*id).move != 0) return std::nullopt;
  if (!id) id = index_.insert(record);
  CachedPage& page = index_.at(*id);
  change_holds(page, 1);
  page.request = {};
  if (page.in(Tier::kDevice)) {
    give_back(frame);
    refresh(page, *id);
  } else {
    add_copy(*id, Tier::kDevice, frame);
    if (options_.write_through) published_.push_back(*id);
  }
  return id;
}

bool TierManager::fetch(PageId id) {
  const CachedPage& page = index_.at(id);
  if (near(id) || page.move != 0) return true;
  if (!page.in(Tier::kHost)) return start_move(id, Tier::kDisk, Tier::kHost, false);
  if (!options_.in_place) return start_move(id, Tier::kHost, Tier::kDevice, false);
  start_check(id);
  return true;
}

TierManager::Readiness TierManager::prepare_in_place(PageId id) {
  const CachedPage& page = index_.at(id);
  if (page.move != 0) return Readiness::kComing;
  if (page.verified) return Readiness::kReady;
  if (page.in(Tier::kHost)) start_check(id);
  else if (!start_move(id, Tier::kDevice, Tier::kHost, false)) return Readiness::kNever;
  return Readiness::kComing;
}

void TierManager::recover(std::vector<DiskRecord> found) {
  std::ranges::sort(found, {}, &DiskRecord::frame);
  for (const DiskRecord& record : found) book(Tier::kDisk).frames.claim(record.frame);
  std::ranges::stable_sort(found, {}, [](const DiskRecord& record) { return record.page.depth; });  // parents first
  for (const DiskRecord& record : found) {
    const PageRecord& page = record.page;
    if (index_.find(page.key, page.tokens)) {
      book(Tier::kDisk).frames.release(record.frame);  // there twice
    } else {
      add_copy(index_.insert(page), Tier::kDisk, record.frame);
    }
  }
}

MovePlan TierManager::plan_moves(int64_t now) {
  now_ = now;
  write_published();
  if (has(Tier::kHost)) keep_free(Tier::kDevice, options_.spare_frames);
  if (has(Tier::kDisk)) keep_free(Tier::kHost, std::min(options_.spare_frames, frames(Tier::kHost).num_frames() / 4));
  return std::exchange(planned_, {});
}

void TierManager::settle(std::span<const MoveResult> results) {
  for (const TransferLedger::Settled& settled : ledger_.settle(results)) finish(settled);
}

bool TierManager::write_behind() {
  constexpr size_t kMostMoving = 64;
  if (!has(Tier::kDisk)) return false;
  for (PageId id = 0; id < index_.num_ids() && ledger_.size() < kMostMoving && frames(Tier::kDisk).num_free() > 0 && can_write_disk(); ++id) {
    const CachedPage& page = index_.at(id);
    if (page.in(Tier::kHost) && !page.in(Tier::kDisk) && page.move == 0) start_move(id, Tier::kHost, Tier::kDisk, false);
  }
  return moving();
}

bool TierManager::write_out() {
  if (!has(Tier::kDisk)) return false;
  keep_free(Tier::kDevice, frames(Tier::kDevice).num_frames());
  keep_free(Tier::kHost, frames(Tier::kHost).num_frames());
  return moving();
}

// On a link slower than pages are made the queue stays short: what doesn't get on it is written when it is about to be given up, or dropped.
void TierManager::write_published() {
  size_t next = 0;
  for (; next < published_.size() && ledger_.size() < 2 * static_cast<size_t>(options_.spare_frames); ++next) {
    const CachedPage& page = index_.at(published_[next]);  // the id may mean another page by now, which then needs it just as well
    if (!page.in(Tier::kDevice) || in_colder_than(page, Tier::kDevice) || page.move != 0) continue;
    if (!start_move(published_[next], Tier::kDevice, Tier::kHost, false)) break;
  }
  published_.erase(published_.begin(), published_.begin() + static_cast<std::ptrdiff_t>(next));
  const auto most = static_cast<size_t>(frames(Tier::kDevice).num_frames());
  if (published_.size() > most) published_.erase(published_.begin(), published_.end() - static_cast<std::ptrdiff_t>(most));
}

void TierManager::keep_free(Tier tier, int32_t wanted) {
  const auto colder = static_cast<Tier>(index_of(tier) + 1);
  while (frames(tier).num_free() + leaving_[index_of(tier)] + (tier == Tier::kDevice ? num_clean_ : 0) < wanted) {
    const std::optional<PageId> victim = book(tier).policy->victim();
    if (!victim) return;
    if (in_colder_than(index_.at(*victim), tier)) {
      drop_copy(*victim, tier);
    } else if (!start_move(*victim, tier, colder, true)) {
      return;
    }
  }
}

bool TierManager::start_move(PageId id, Tier from, Tier to, bool leaving) {
  const std::optional<uint32_t> frame = to == Tier::kDevice ? take_frame() : take_cold_frame(to);
  if (!frame) return false;
  CachedPage& page = index_.at(id);
  if (!page.in(from)) {  // making room gave this very copy up
    book(to).frames.release(*frame);
    return false;
  }
  const PageMove move = {0, {from, page.frame[index_of(from)]}, {to, *frame}, page.key};
  page.move = ledger_.start(id, move.from, move.to);
  page.leaving = leaving;
  refresh(page, id);
  planned_.moves.push_back(move);
  planned_.moves.back().id = page.move;
  if (to == Tier::kDisk) planned_.records.push_back({page.key, page.parent_key, page.depth, page.tokens, page.alone});
  if (leaving) ++leaving_[index_of(from)];
  return true;
}

// A move onto itself: the ranks only compare the bytes with their checksum.
void TierManager::start_check(PageId id) {
  CachedPage& page = index_.at(id);
  const PageRef place = {Tier::kHost, page.frame[index_of(Tier::kHost)]};
  page.move = ledger_.start(id, place, place);
  refresh(page, id);
  planned_.moves.push_back({page.move, place, place, page.key});
}

// A frame of a tier below the device. From the host a page goes on to the disk first where it is not there and there is room (also one that the device
// has: it would be gone with that copy), and its frame comes free in a later step.
std::optional<uint32_t> TierManager::take_cold_frame(Tier tier) {
  if (tier == Tier::kDisk && !can_write_disk()) return std::nullopt;
  if (const std::optional<uint32_t> frame = book(tier).frames.allocate()) return frame;
  const std::optional<PageId> victim = book(tier).policy->victim();
  if (!victim) return std::nullopt;
  const bool goes_on = tier == Tier::kHost && has(Tier::kDisk) && !index_.at(*victim).in(Tier::kDisk);
  if (goes_on && start_move(*victim, Tier::kHost, Tier::kDisk, true)) return std::nullopt;
  drop_copy(*victim, tier);
  return book(tier).frames.allocate();
}

void TierManager::finish(const TransferLedger::Settled& settled) {
  const PageId id = settled.page;
  CachedPage& page = index_.at(id);
  const bool check = settled.to == settled.from;
  const bool colder = settled.to.tier > settled.from.tier;
  if (page.leaving) --leaving_[index_of(settled.from.tier)];
  const bool leaves = std::exchange(page.leaving, false) && page.holds == 0;
  if (settled.to.tier == Tier::kDisk) count_disk_write(settled.outcome);
  if (settled.outcome == MoveOutcome::kDone) {
    if (check) {
      page.verified = page.holds > 0;
    } else {
      add_copy(id, settled.to.tier, settled.to.frame);
      ++stats_.moved_in[index_of(settled.to.tier)];
    }
    if (leaves) drop_copy(id, settled.from.tier);
  } else {
    FramePool& target = book(settled.to.tier).frames;
    const bool is_broken = settled.outcome == MoveOutcome::kIo && settled.to.tier == Tier::kDisk;  // the lowest: it would be the next to be handed out
    if (!check) is_broken ? target.retire(settled.to.frame) : target.release(settled.to.frame);
    ++stats_.failed[index_of(settled.from.tier)];
    if (settled.outcome == MoveOutcome::kChecksum) ++stats_.checksum_failures;
    // What could not be read is gone; what could not be written is kept where it needn't go, unless it is damaged and nobody reads it.
    const bool is_damaged = settled.outcome == MoveOutcome::kChecksum && page.holds == 0;
    if (!colder || leaves || is_damaged) drop_copy(id, settled.from.tier);
  }
  page.move = 0;
  refresh(page, id);
  index_.erase_if_unused(id);
}

void TierManager::count_disk_write(MoveOutcome outcome) {
  if (outcome == MoveOutcome::kDone) failed_writes_ = 0;
  if (outcome != MoveOutcome::kIo || !can_write_disk()) return;
  if (++failed_writes_ == kMostFailedWrites) {
    log_warning(fmt::format("{} writes to the disk tier failed one after another: no more pages go there, those that it has are still read. Look after the disk of cache.disk.path and start again", failed_writes_));
  }
}

bool TierManager::can_write_disk() const { return failed_writes_ < kMostFailedWrites; }

void TierManager::add_copy(PageId id, Tier tier, uint32_t frame) {
  CachedPage& page = index_.at(id);
  page.frame[index_of(tier)] = frame;
  book(tier).policy->insert(id, {.parent = page.parent, .depth = page.depth, .priority = page.priority, .key = page.key.low, .request = page.request, .alone = page.alone}, now_);
  book(tier).ages.add(page);
  refresh(page, id);
}

void TierManager::drop_copy(PageId id, Tier tier) {
  CachedPage& page = index_.at(id);
  book(tier).policy->erase(id);
  book(tier).ages.take_out(page);
  book(tier).frames.release(std::exchange(page.frame[index_of(tier)], kNoFrame));
  page.pinned[index_of(tier)] = false;
  if (tier == Tier::kHost) page.verified = false;
  refresh(page, id);
  ++stats_.dropped[index_of(tier)];
  if (!page.anywhere() && page.move == 0) ++stats_.lost[index_of(tier)];
  index_.erase_if_unused(id);
}

// What follows from where a page lies, who holds it and whether it moves. A copy is pinned while it moves, is verified for a holder, or is the nearest of a held
// page: colder ones of the same page may go, or a chain longer than the host tier could not be fetched through it.
void TierManager::refresh(CachedPage& page, PageId id) {
  bool nearest = page.holds > page.in_place;
  for (const Tier tier : kTiers) {
    if (!page.in(tier)) continue;
    const bool pin = page.move != 0 || nearest || (tier == Tier::kHost && page.verified);
    nearest = false;
    bool& pinned = page.pinned[index_of(tier)];
    if (pin == pinned) continue;
    pinned = pin;
    if (pin) {
      book(tier).policy->pin(id);
    } else {
      book(tier).policy->unpin(id);
    }
  }
  const bool idle = page.in(Tier::kDevice) && !page.on_device_in_use();
  const bool clean = idle && in_colder_than(page, Tier::kDevice);
  num_idle_ += static_cast<int32_t>(idle) - static_cast<int32_t>(page.idle);
  num_clean_ += static_cast<int32_t>(clean) - static_cast<int32_t>(page.clean);
  page.idle = idle;
  page.clean = clean;
}

}  // namespace terrace
