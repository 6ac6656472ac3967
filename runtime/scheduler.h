// Decides what every rank does in each step: admission, chunking, page tables, preemption (LAW 1). Rank 0, step thread only. It owns the
// sequences and the books (page tables, tiers) and knows no bytes, no weights and no text. The same state gives the same plan.
//
// Shortage never fails and never deadlocks (LAW 5): a request that could not run alone in the whole pool is refused at submit; sequences
// are served in order of arrival; when frames run out, waiting ones let the cached pages go that they hold, and then one younger than the one in need
// gives up its pages, the one that loses least work; so the oldest always gets on. Full pages stay in the cache as long as there is room in any tier.
// Where rows may read the host tier in place, full pages of running sequences are moved out of the way first, and a sequence may be as long as that tier.
//
// Each layer group has pages of its own. Where a group has a window, a sequence lets pages of it go as they fall out, and never needs more of them than
// sinks, window and chunk at a time, whatever its length; they stay in the cache like any others, as long as there is room.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cache/pages_in_sight.h"
#include "runtime/cache/tier_manager.h"
#include "runtime/config.h"
#include "runtime/prefix_hold.h"
#include "runtime/sequence.h"
#include "runtime/sequence_limits.h"
#include "runtime/sequence_pages.h"
#include "runtime/step_plan.h"

namespace terrace {

class Scheduler {
 public:
  struct Options {
    int32_t max_tokens_per_step = 512;
    int32_t max_sequences = 32;
    int32_t page_tokens = 16;
    int32_t num_frames = 0;       // of the device
    int32_t num_host_frames = 0;
    int32_t num_disk_frames = 0;
    int32_t context_length = 0;
    std::vector<AttentionWindow> windows = {AttentionWindow{}};  // of each layer group: a page that falls out of it is let go
    int32_t num_ranks = 1;
    bool cache_enabled = true;  // false: after each token the whole sequence is computed again (teaching baseline)
    bool keep_prefixes = true;  // full pages are kept for sequences that begin alike
    bool in_place = false;      // rows may read pages of the host tier where they lie
    FetchRule fetch = FetchRule::kWhereFaster;
    std::string policy = "lru";
    bool sparse = false;        // generated tokens read sparsely,
    int32_t sparse_prompts_from = 0;  // > 0: and prompts' tokens from this position on
    std::string origin = {};    // all that the bytes of a page depend on beside its tokens
  };
  explicit Scheduler(const Options& options);

  /// Longest sequence that fits the context and the pool, in tokens. Of a prompt that is pooled also the last token must have its page.
  int32_t max_sequence_tokens() const { return limits_.max_sequence_tokens(); }
  /// Queues a sequence, or says in a sentence why it can never run.
  std::optional<std::string> submit(SequenceId id, Request request);
  /// Where its tokens came from; nullopt when the id is not in flight.
  std::optional<TokenSources> cancel(SequenceId id);
  bool busy() const { return !waiting_.empty() || !running_.empty(); }

  /// The next step; plan.rows is empty only when nothing is in flight, or all wait for pages that move.
  StepPlan plan();
  /// The sequence that a row of the plan belongs to; valid until it finishes.
  Sequence& sequence(const PlanRow& row);
  /// Books a row as done, with the token sampled at its end where there was one. A finished sequence is gone afterwards.
  FinishReason commit(const PlanRow& row, std::optional<int32_t> token);

  int32_t num_running() const { return static_cast<int32_t>(running_.size()); }
  int32_t num_waiting() const { return static_cast<int32_t>(waiting_.size()); }
  uint64_t num_preemptions() const { return num_preemptions_; }
  /// Device frames of running sequences, each counted once.
  int32_t frames_in_use() const { return tiers_.num_in_use(); }
  int64_t tokens_in_frames() const;
  const PageTables& tables() const { return pages_.tables(); }
  TierManager& tiers() { return tiers_; }
  const TierManager& tiers() const { return tiers_; }
  /// A step of `prompt_tokens` prompt tokens, the greater part of it, took so long.
  void observe_prefill(int32_t prompt_tokens, int64_t us);

 private:
  friend class SchedulerInspector;  // tests: all that the next plans depend on
  using SequencePtr = std::unique_ptr<Sequence>;

  bool try_schedule(Sequence& sequence, StepPlan& plan, int32_t& budget);
  bool reserve(Sequence& sequence, int32_t num_positions, StepPlan& plan);
  TierManager::Readiness move_out_of_the_way(size_t num_pages);
  bool make_room(const Sequence& sequence, const StepPlan& plan);
  bool preempt_younger_than(const Sequence& sequence, const StepPlan& plan);
  int32_t lost_tokens(const Sequence& sequence) const;
  void admit(StepPlan& plan, int32_t& budget);
  void unblock(StepPlan& plan, int32_t& budget);
  void start(SequencePtr sequence, StepPlan& plan, int32_t& budget);
  int64_t frames_to_come(const Sequence& sequence) const;
  bool has_room_for(const Sequence& sequence, int64_t kept) const;
  bool find_room_for(const Sequence& sequence, int64_t kept);
  bool is_computing_for(const Sequence& waiting) const;
  int32_t chunk_size(const Sequence& sequence, int32_t budget) const;
  void add_row(Sequence& sequence, int32_t num_tokens, StepPlan& plan) const;
  int32_t num_groups() const { return static_cast<int32_t>(in_sight_.size()); }
  void stop_running(Sequence& sequence);
  void to_waiting(size_t running_index);
  int32_t pages_for(int32_t positions) const { return (positions + options_.page_tokens - 1) / options_.page_tokens; }

  Options options_;
  std::vector<PagesInSight> in_sight_;  // by layer group
  SequenceLimits limits_;
  TierManager tiers_;
  SequencePages pages_;
  PrefixHold prefix_hold_;
  std::deque<SequencePtr> waiting_;   // in order of arrival (ids ascend), preempted ones included
  std::vector<SequencePtr> running_;  // in order of arrival
  std::vector<Sequence*> by_slot_;
  uint64_t step_ = 0;
  uint64_t num_preemptions_ = 0;
  std::optional<double> us_per_token_;  // of prompts
};

}  // namespace terrace
