#include "launcher/bench/cache_simulator.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "runtime/cache/frame_pool.h"

namespace terrace {
namespace {

/// A tier whose pages' ids are frames, so that they are used again as the runtime's are.
class SimulatedTier {
 public:
  SimulatedTier(const CacheTrace& trace, int32_t num_frames, RetentionPolicy& policy)
      : trace_(trace),
        policy_(policy),
        free_(num_frames),
        frames_(trace.parents.size(), kNoPage),
        pages_(static_cast<size_t>(num_frames)) {}

  /// The pages found.
  size_t play(size_t index) {
    const std::vector<uint32_t>& row = trace_.rows[index];
    const auto now = static_cast<int64_t>(index);
    size_t held = 0;
    for (; held < row.size() && frames_[row[held]] != kNoPage; ++held) {
      policy_.hit(frames_[row[held]], now);
      policy_.pin(frames_[row[held]]);
    }
    const size_t found = held;
    for (; held < row.size() && insert(row[held], static_cast<int32_t>(held), now); ++held)
      policy_.pin(frames_[row[held]]);
    const EndedRequest request = {static_cast<int32_t>(row.size()), trace_.answers[index]};
    for (size_t i = 0; i < held; ++i) policy_.ended(frames_[row[i]], request);
    for (size_t i = 0; i < held; ++i) policy_.unpin(frames_[row[i]]);
    return found;
  }

 private:
  /// False: all frames are the row's own.
  bool insert(uint32_t page, int32_t depth, int64_t now) {
    std::optional<uint32_t> frame = free_.allocate();
    if (!frame) {
      frame = policy_.victim();
      if (!frame) return false;
      policy_.erase(*frame);
      frames_[pages_[*frame]] = kNoPage;
    }
    frames_[page] = *frame;
    pages_[*frame] = page;
    const uint32_t parent = trace_.parents[page];
    policy_.insert(*frame,
                   {.parent = parent == kTraceRoot ? kNoPage : frames_[parent],
                    .depth = depth,
                    .priority = 0,
                    .key = (page + 1) * 0x9E3779B97F4A7C15u,
                    .request = {}},
                   now);
    return true;
  }

  const CacheTrace& trace_;
  RetentionPolicy& policy_;
  FramePool free_;
  std::vector<PageId> frames_;   // by page; kNoPage: not there
  std::vector<uint32_t> pages_;  // by frame
};

/// For each use of a page, row by row, the row that uses it next; the number of rows where none does.
std::vector<std::vector<uint32_t>> next_uses(const CacheTrace& trace) {
  std::vector<uint32_t> next(trace.parents.size(), static_cast<uint32_t>(trace.rows.size()));
  std::vector<std::vector<uint32_t>> uses(trace.rows.size());
  for (size_t row = trace.rows.size(); row-- > 0;) {
    for (const uint32_t page : trace.rows[row])
      uses[row].push_back(std::exchange(next[page], static_cast<uint32_t>(row)));
  }
  return uses;
}

}  // namespace

std::optional<int64_t> count_hits(const CacheTrace& trace, int32_t num_frames, RetentionPolicy& policy,
                                  const RowCallback& after_row) {
  SimulatedTier tier(trace, std::min(num_frames, static_cast<int32_t>(trace.parents.size())), policy);
  int64_t hits = 0;
  for (size_t row = 0; row < trace.rows.size(); ++row) {
    hits += static_cast<int64_t>(tier.play(row));
    if (!after_row(row + 1)) return std::nullopt;
  }
  return hits;
}

std::optional<int64_t> bound_hits(const CacheTrace& trace, int32_t num_frames, const RowCallback& after_row) {
  const std::vector<std::vector<uint32_t>> next = next_uses(trace);
  std::set<std::pair<uint32_t, uint32_t>> held;  // {next use, page}
  int64_t hits = 0;
  for (size_t row = 0; row < trace.rows.size(); ++row) {
    for (size_t i = 0; i < trace.rows[row].size(); ++i) {
      const uint32_t page = trace.rows[row][i];
      hits += static_cast<int64_t>(held.erase({static_cast<uint32_t>(row), page}));
      if (next[row][i] == trace.rows.size()) continue;
      held.insert({next[row][i], page});
      if (held.size() > static_cast<size_t>(num_frames)) held.erase(std::prev(held.end()));
    }
    if (!after_row(row + 1)) return std::nullopt;
  }
  return hits;
}

}  // namespace terrace
