// The moves in flight, on rank 0: each ends when every rank has reported it, and is good only if all could make it. Keeps the rate of each
// link as measured. Step thread only.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "runtime/cache/move_result.h"
#include "runtime/cache/page.h"
#include "runtime/cache/retention.h"

namespace terrace {

class TransferLedger {
 public:
  struct Settled {
    PageId page = kNoPage;
    PageRef from;
    PageRef to;
    MoveOutcome outcome = MoveOutcome::kDone;  // the worst of the ranks'
  };

  /// `last_id`: the first move has the id after it.
  explicit TransferLedger(int num_ranks, uint32_t last_id = 0) : num_ranks_(num_ranks), last_id_(last_id) {}

  /// Books a move; its id.
  uint32_t start(PageId page, PageRef from, PageRef to);
  /// One rank's results; the moves that thereby ended.
  std::vector<Settled> settle(std::span<const MoveResult> results);
  bool empty() const { return in_flight_.empty(); }
  size_t size() const { return in_flight_.size(); }

  /// Microseconds a page takes from `from` to the tier nearer to the device, as last measured; nullopt before the first.
  std::optional<double> us_per_page(Tier from) const { return us_per_page_[static_cast<size_t>(from)]; }

 private:
  struct Entry {
    Settled move;
    int ranks_left = 0;
  };
  void measure(std::span<const MoveResult> results);

  int num_ranks_;
  uint32_t last_id_;
  std::unordered_map<uint32_t, Entry> in_flight_;
  std::array<std::optional<double>, kNumTiers> us_per_page_;
};

}  // namespace terrace
