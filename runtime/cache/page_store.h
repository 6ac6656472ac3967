// A rank's hands for the tiered cache: carries out the page moves that rank 0 planned, beside the step's compute, and reports how each ended. Bytes only, it decides nothing.
// Owns the host tier's pool (unless it is given one), its stamps, and the disk tier. Step thread only; copies and disk I/O have threads of their own.
//
// A page off the device is verified by its next reader against the stamp (page_checksum.h) that was made when it was written: a move that would yield other bytes than
// those of its key ends as kChecksum, never as kDone. With a codec that is so of what was stored; what the codec rounded is rounded. A failed move leaves its target without a page; `from` is as it was.
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "kernels/backend.h"
#include "runtime/cache/disk_tier.h"
#include "runtime/cache/move_result.h"
#include "runtime/cache/page.h"
#include "runtime/cache/page_record.h"

namespace terrace {

class PageStore {
 public:
  struct Options {
    std::byte* device_base = nullptr;
    size_t page_bytes = 0;
    const PageCodec* codec = nullptr;  // pages off the device are in another format; must outlive the store
    uint32_t num_device_frames = 0;
    uint32_t num_host_frames = 0;
    std::byte* host_base = nullptr;  // CPU backend: num_host_frames pages; null: the page mover allocates them
    bool read_in_place = false;           // ops read host pages where they lie
    PageLink link = {};                   // CPU backend: between device and host
    Clock* clock = nullptr;          // null: the machine's
    std::optional<DiskOptions> disk = {};
  };

  PageStore(Backend& backend, const Options& options);
  ~PageStore();

  /// Moves between neighbouring tiers, or of a host page onto itself, which only verifies it. `records`: one for each move to the disk tier, in the order of these moves. kPlanMismatch for a frame or a way that does not exist.
  void start(std::span<const PageMove> moves, std::span<const PageRecord> records);
  /// Those that have ended since the last call, each once. `wait_for_one`: while moves are under way waits for one to end, for some 20 ms at most.
  std::vector<MoveResult> poll(bool wait_for_one);
  size_t num_under_way() const { return copies_.size() + disk_moves_.size(); }
  /// The pages that an earlier run left on the disk tier.
  std::vector<DiskRecord> recovered() const { return disk_ ? disk_->recovered() : std::vector<DiskRecord>(); }
  /// A page of host memory, for ops that read it in place.
  std::byte* host_page(uint32_t frame) { return mover_->host_page(frame); }

 private:
  struct Copy {  // between device and host
    PageMove move;
    PageMover::Ticket ticket;
    int64_t started_us;
    size_t num_left;  // moves of its ticket from this one on
  };

  struct DiskMove {
    PageMove move;
    int64_t started_us;
  };

  void check(const PageMove& move) const;
  void start_copies(PageMover::Direction direction, std::span<const PageMove> moves);
  void start_disk_moves(std::span<const PageMove> moves, std::span<const PageRecord> records);
  bool matches_stamp(const PageMove& move);
  MoveOutcome finish_copy(const PageMove& move);
  void take_finished_copies(std::vector<MoveResult>& results);
  void take_finished_disk_moves(std::vector<MoveResult>& results);
  /// `num_left`: moves, this one among them, that ended together; the time is shared out.
  MoveResult result(const PageMove& move, MoveOutcome outcome, int64_t started_us, int64_t ended_us, size_t num_left = 1);
  /// A move that was not begun, since its source does not hold the page.
  MoveResult unmoved(const PageMove& move) const;
  /// Of a page off the device.
  size_t stored_bytes() const { return stored_page_bytes(options_.codec, options_.page_bytes); }

  Options options_;
  Clock& clock_;
  std::unique_ptr<PageMover> mover_;
  std::vector<std::optional<uint64_t>> host_stamps_;  // by host frame; nullopt: no page
  std::deque<Copy> copies_;                           // under way, in order of start
  std::unordered_map<uint32_t, DiskMove> disk_moves_;  // under way, by id
  std::vector<MoveResult> ended_at_once_;
  std::array<int64_t, kNumLinks> link_free_us_ = {};   // when the last move of each link ended
  std::unique_ptr<DiskTier> disk_;  // last: its thread touches the host pool
};

}  // namespace terrace
