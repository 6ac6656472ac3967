// Rank 0's books of the KV cache: which frames of each tier are free, which pages lie where, who holds them, what moves. Policy and ids only; the
// bytes are every rank's PageStore's business. Step thread only.
//
// Frames of the device belong to a sequence alone (taken, given back) or to a cached page (published by the sequence that computed it, held by any
// number of sequences, kept when nobody holds it until its frame is wanted). So preempting a sequence only lets its pages go: it resumes by
// finding them again, wherever they went. A page that is held or moving stays where it is.
//
// With a host tier that is at least as large as the device's, pages are written to it as they are published, beside the steps; so a device copy is given
// up at no cost when its frame is wanted. A smaller one only takes what is given up: a few device frames are kept free, or filled with pages that have a
// colder copy, by writing out the least wanted pages ahead of need. A frame wanted at once is never waited for (LAW 5): the page in it is dropped.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/cache/frame_pool.h"
#include "runtime/cache/page.h"
#include "runtime/cache/page_ages.h"
#include "runtime/cache/page_record.h"
#include "runtime/cache/prefix_index.h"
#include "runtime/cache/retention.h"
#include "runtime/cache/transfer_ledger.h"

namespace terrace {

/// What every rank is to move beside a step.
struct MovePlan {
  std::vector<PageMove> moves;
  std::vector<PageRecord> records;  // one for each move to disk, in order
};

/// Counters since the start, pages unless said otherwise.
struct TierStats {
  std::array<uint64_t, kNumTiers> moved_in = {};   // by the tier moved to
  std::array<uint64_t, kNumTiers> dropped = {};    // copies given up for room
  std::array<uint64_t, kNumTiers> failed = {};     // moves from this tier that a rank could not make: checksum or I/O
  uint64_t checksum_failures = 0;
  std::array<uint64_t, kNumTiers> lost = {};       // of those dropped, the ones that were the page's only copy
};

class TierManager {
 public:
  struct Options {
    int32_t page_tokens = 16;
    std::array<int32_t, kNumTiers> num_frames = {};
    int32_t spare_frames = 0;   // device frames to keep free where a colder tier can take pages
    bool write_through = false; // to the host, as pages are published
    bool in_place = false;      // rows may read the host's copies
    bool keep_pages = true;     // false: nothing is published
    int32_t num_ranks = 1;
    std::string policy = "lru";
  };
  explicit TierManager(const Options& options);

  // ---- frames that belong to one sequence ----
  /// A device frame, if need be by giving up a cached page; nullopt when all are in use.
  std::optional<uint32_t> take_frame();
  void give_back(uint32_t frame) { device_pool().release(frame); }
  /// How many frames take_frame() can give.
  int32_t num_available() const { return frames(Tier::kDevice).num_free() + num_idle_; }
  /// Of these, the ones that hold nothing.
  int32_t num_free() const { return frames(Tier::kDevice).num_free(); }
  int32_t num_frames(Tier tier) const { return frames(tier).num_frames(); }
  int32_t num_used(Tier tier) const { return frames(tier).num_used(); }
  /// Device frames that cannot be had now: a sequence's own, and pages that are held or moving.
  int32_t num_in_use() const { return options_.num_frames[0] - num_available(); }

  // ---- cached pages ----
  bool keeps_pages() const { return options_.keep_pages; }
  const PrefixIndex& pages() const { return index_; }
  PageRef place(PageId page, Tier tier) const { return {tier, index_.at(page).frame[static_cast<size_t>(tier)]}; }
  std::optional<PageId> find(const PageKey& key, std::span<const int32_t> tokens) const;
  PrefixIndex::Partial longest_partial(const PageKey& parent_key, std::span<const int32_t> tokens) const;
  /// Keeps a page where it is until let_go().
  void hold(PageId page);
  /// A sequence goes on from it. Who waits holds and lets go many times over, which says nothing of the page.
  void used(PageId page);
  void let_go(PageId page);
  /// A request of this priority that holds the page has ended: what its policies judge the page by from now on.
  void ended(PageId page, const EndedRequest& request, int32_t priority);
  /// A holder's rows read the host's copy from now on, or no longer: then the device's may be given up.
  void read_in_place(PageId page);
  void leave_place(PageId page);
  /// Whether a holder's rows may read the page where it lies: on the device, or verified on the host where that is allowed.
  bool near(PageId page) const;
  /// Whether it has its frame there already, or is on its way to it.
  bool has_near_frame(PageId page) const;
  /// The taken frame becomes the page's device copy, or is given back where the page has one already: the caller goes on with the page's. Held
  /// once for the caller. nullopt while the page moves: try again later.
  std::optional<PageId> publish(const PageRecord& record, uint32_t frame);
  /// Brings a held page a tier nearer, unless it moves already; on the host where it may be read in place, has it verified. False: no frame there now.
  bool fetch(PageId page);
  enum class Readiness { kReady, kComing, kNever };
  /// A held page of the device whose host copy is to be read in place instead: has it written there and verified.
  Readiness prepare_in_place(PageId page);
  /// Pages found on disk, before anything else is asked of these books.
  void recover(std::vector<DiskRecord> found);

  // ---- moves ----
  /// Once a step, before the plan is sent: moves asked for since the last, and those that keep frames free.
  MovePlan plan_moves(int64_t now);
  /// Takes in what one rank reported; a move has ended when all have.
  void settle(std::span<const MoveResult> results);
  bool moving() const { return !ledger_.empty(); }
  /// While nothing else is to do: has some of the host's pages copied to the disk, where there is room. False when nothing is left to do.
  bool write_behind();
  /// For the end of a run: writes out all that colder tiers can take. False when nothing is left to do.
  bool write_out();

  const TierStats& stats() const { return stats_; }
  /// The time, for ages alone.
  void tick(int64_t second);
  PageAgeCounts ages(Tier tier) const { return books_[static_cast<size_t>(tier)].ages.counts(); }
  const TransferLedger& ledger() const { return ledger_; }

 private:
  friend class SchedulerInspector;  // tests: all that the next plans depend on
  struct Book {
    FramePool frames;
    std::unique_ptr<RetentionPolicy> policy;
    PageAges ages = {};
  };
  Book& book(Tier tier) { return books_[static_cast<size_t>(tier)]; }
  FramePool& device_pool() { return book(Tier::kDevice).frames; }
  const FramePool& frames(Tier tier) const { return books_[static_cast<size_t>(tier)].frames; }
  bool has(Tier tier) const { return frames(tier).num_frames() > 0; }

  void add_copy(PageId page, Tier tier, uint32_t frame);
  void drop_copy(PageId page, Tier tier);
  void refresh(CachedPage& page, PageId id);
  void change_holds(CachedPage& page, int32_t by);
  std::optional<uint32_t> take_cold_frame(Tier tier);
  bool start_move(PageId page, Tier from, Tier to, bool leaving);
  void start_check(PageId page);
  void write_published();
  void keep_free(Tier tier, int32_t wanted);
  void finish(const TransferLedger::Settled& settled);
  void count_disk_write(MoveOutcome outcome);
  bool can_write_disk() const;

  Options options_;
  PrefixIndex index_;
  std::array<Book, kNumTiers> books_;
  TransferLedger ledger_;
  MovePlan planned_;
  std::vector<PageId> published_;  // and not yet on their way to the host
  std::array<int32_t, kNumTiers> leaving_ = {};  // moves in flight that give up a copy in a tier
  int failed_writes_ = 0;          // to the disk, since the last that was done
  int32_t num_idle_ = 0;           // device copies that are neither in use nor moving
  int32_t num_clean_ = 0;          // of these, the ones that a colder tier has too
  int64_t now_ = 0;                // the step
  int64_t second_ = 0;
  TierStats stats_;
};

}  // namespace terrace
