#include "runtime/cache/page_store.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "kernels/base/clock.h"
#include "kernels/base/error.h"
#include "runtime/cache/page_checksum.h"

namespace terrace {
namespace {

constexpr size_t kMovesPerTicket = 4;  // few, so that a page is reported soon after it has come
constexpr int64_t kPollPauseUs = 50;
constexpr int64_t kMostWaitUs = 20'000;  // for a disk that hangs: who arrives meanwhile waits as long

bool goes(const PageMove& move, Tier from, Tier to) { return move.from.tier == from && move.to.tier == to; }

}  // namespace

PageStore::PageStore(Backend& backend, const Options& options)
    : options_(options), clock_(options.clock != nullptr ? *options.clock : steady_clock()),
      mover_(backend.make_page_mover({.device_base = options.device_base,
                                      .page_bytes = options.page_bytes,
                                      .codec = options.codec,
                                      .num_host_frames = options.num_host_frames,
                                      .host_base = options.host_base,
                                      .link = options.link,
                                      .clock = &clock_})),
      host_stamps_(options.num_host_frames) {
  if (options.disk) disk_ = std::make_unique<DiskTier>(*options.disk, stored_bytes(), clock_);
}

PageStore::~PageStore() = default;

void PageStore::check(const PageMove& move) const {
  const uint32_t num_frames[kNumTiers] = {options_.num_device_frames, options_.num_host_frames, options_.disk ? options_.disk->num_frames : 0};
  for (const PageRef& end : {move.from, move.to}) {
    const auto tier = static_cast<size_t>(end.tier);
    if (tier < kNumTiers && end.frame < num_frames[tier]) continue;
    throw Error(ErrorCode::kPlanMismatch,
                fmt::format("page move {} names frame {} of tier {}, which has {} here: all ranks must run with the same cache sizes",
                            move.id, end.frame, tier, tier < kNumTiers ? num_frames[tier] : 0));
  }
  if (move.is_possible()) return;
  throw Error(ErrorCode::kPlanMismatch, fmt::format("page move {} is not between neighbouring tiers: this is a bug in terrace", move.id));
}

void PageStore::start(std::span<const PageMove> moves, std::span<const PageRecord> records) {
  std::vector<PageMove> evictions, fetches, disk_moves;
  for (const PageMove& move : moves) {
    check(move);
    if (move.is_check()) {
      const int64_t started_us = clock_.now_us();
      const MoveOutcome outcome = matches_stamp(move) ? MoveOutcome::kDone : MoveOutcome::kChecksum;
      ended_at_once_.push_back(result(move, outcome, started_us, clock_.now_us()));
      continue;
    }
    if (move.to.tier == Tier::kHost) host_stamps_[move.to.frame].reset();
    if (goes(move, Tier::kDevice, Tier::kHost)) {
      evictions.push_back(move);
    } else if (move.from.tier == Tier::kDisk || move.to.tier == Tier::kDisk) {
      disk_moves.push_back(move);
    } else if (host_stamps_[move.from.frame]) {
      fetches.push_back(move);
    } else {
      ended_at_once_.push_back(unmoved(move));
    }
  }
  start_copies(PageMover::Direction::kEvict, evictions);
  start_copies(PageMover::Direction::kFetch, fetches);
  start_disk_moves(disk_moves, records);
}

void PageStore::start_disk_moves(std::span<const PageMove> moves, std::span<const PageRecord> records) {
  std::vector<DiskTransfer> transfers;
  for (const PageMove& move : moves) {
    const bool write = move.to.tier == Tier::kDisk;
    const PageRef& host = write ? move.from : move.to;
    DiskTransfer transfer = {move.id, write, (write ? move.to : move.from).frame, move.key, host_page(host.frame), 0, {}};
    if (write) {
      if (records.empty() || records.front().key != move.key || records.front().tokens.size() != static_cast<size_t>(options_.disk->page_tokens)) {
        throw Error(ErrorCode::kPlanMismatch, fmt::format("page move {} to the disk tier comes without its record: this is a bug in terrace", move.id));
      }
      transfer.record = records.front();
      records = records.subspan(1);
      if (!host_stamps_[host.frame]) {
        ended_at_once_.push_back(unmoved(move));
        continue;
      }
      transfer.stamp = *host_stamps_[host.frame];
    }
    disk_moves_.emplace(move.id, DiskMove{move, clock_.now_us()});
    transfers.push_back(std::move(transfer));
  }
  if (transfers.empty()) return;
  if (options_.read_in_place) mover_->wait_for_ops();  // a frame that is read into may just have been let go by a row
  disk_->start(std::move(transfers));
}

void PageStore::take_finished_disk_moves(std::vector<MoveResult>& results) {
  if (!disk_) return;
  for (const DiskResult& ended : disk_->take_results()) {
    const auto found = disk_moves_.find(ended.id);
    const PageMove& move = found->second.move;
    if (move.to.tier == Tier::kHost && ended.outcome == MoveOutcome::kDone) host_stamps_[move.to.frame] = ended.stamp;
    results.push_back(result(move, ended.outcome, found->second.started_us, ended.ended_us));
    disk_moves_.erase(found);
  }
}

bool PageStore::matches_stamp(const PageMove& move) {
  const std::optional<uint64_t>& stamp = host_stamps_[move.from.frame];
  if (!stamp) return false;
  return page_stamp(page_checksum({mover_->host_page(move.from.frame), stored_bytes()}), move.key) == *stamp;
}

void PageStore::start_copies(PageMover::Direction direction, std::span<const PageMove> moves) {
  const bool evict = direction == PageMover::Direction::kEvict;
  const int64_t now_us = clock_.now_us();
  while (!moves.empty()) {
    const std::span<const PageMove> some = moves.first(std::min(kMovesPerTicket, moves.size()));
    std::vector<PageMover::Move> frames;
    for (const PageMove& move : some) {
      frames.push_back(evict ? PageMover::Move{move.from.frame, move.to.frame} : PageMover::Move{move.to.frame, move.from.frame});
    }
    const PageMover::Ticket ticket = evict ? mover_->evict(frames) : mover_->fetch(frames);
    for (size_t i = 0; i < some.size(); ++i) copies_.push_back({some[i], ticket, now_us, some.size() - i});
    moves = moves.subspan(some.size());
  }
}

MoveOutcome PageStore::finish_copy(const PageMove& move) {
  const bool evict = goes(move, Tier::kDevice, Tier::kHost);
  const uint32_t host_frame = evict ? move.to.frame : move.from.frame;
  const uint64_t stamp = page_stamp(mover_->checksum(evict ? PageMover::Direction::kEvict : PageMover::Direction::kFetch, host_frame), move.key);
  if (evict) host_stamps_[host_frame] = stamp;
  return host_stamps_[host_frame] == stamp ? MoveOutcome::kDone : MoveOutcome::kChecksum;
}

void PageStore::take_finished_copies(std::vector<MoveResult>& results) {
  PageMover::Ticket asked = 0;
  std::optional<int64_t> ended_us;
  std::erase_if(copies_, [&](const Copy& copy) {
    if (copy.ticket != asked) ended_us = mover_->finished_us(asked = copy.ticket);
    if (ended_us) results.push_back(result(copy.move, finish_copy(copy.move), copy.started_us, *ended_us, copy.num_left));
    return ended_us.has_value();
  });
}

std::vector<MoveResult> PageStore::poll(bool wait_for_one) {
  std::vector<MoveResult> results = std::exchange(ended_at_once_, {});
  for (int64_t waited_us = 0;; waited_us += kPollPauseUs) {
    take_finished_copies(results);
    take_finished_disk_moves(results);
    if (!results.empty() || !wait_for_one || num_under_way() == 0 || waited_us >= kMostWaitUs) return results;
    clock_.sleep_us(kPollPauseUs);
  }
}

MoveResult PageStore::result(const PageMove& move, MoveOutcome outcome, int64_t started_us, int64_t ended_us, size_t num_left) {
  int64_t& link_free_us = link_free_us_[link_of(move.from.tier, move.to.tier)];
  const int64_t begun_us = std::max(started_us, link_free_us);
  const int64_t busy_us = std::max<int64_t>(ended_us - begun_us, 0) / static_cast<int64_t>(num_left);
  link_free_us = begun_us + busy_us;
  return {move.id, outcome, link_free_us - started_us, busy_us, static_cast<uint32_t>(stored_bytes())};
}

MoveResult PageStore::unmoved(const PageMove& move) const {
  return {move.id, MoveOutcome::kChecksum, 0, 0, static_cast<uint32_t>(stored_bytes())};
}

}  // namespace terrace
