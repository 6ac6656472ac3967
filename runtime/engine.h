// Rank 0's engine: takes requests, makes one plan a step, has every rank execute it, and hands out what came of it.
// Step thread only, but for submit() and cancel(), which any thread may call.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <vector>

#include "comm/group.h"
#include "kernels/attention_window.h"
#include "kernels/sparse_reading.h"
#include "runtime/cache/page_record.h"
#include "runtime/cache/tier_manager.h"
#include "runtime/config.h"
#include "runtime/request.h"

namespace terrace {

class TraceWriter;
class Worker;

/// Counters since the start; for progress lines and tests.
struct EngineStats {
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;      // computed in prompt chunks, recomputation after preemption included
  uint64_t generated_tokens = 0;
  uint64_t preemptions = 0;
  uint64_t plan_bytes = 0;         // of all plans
  uint64_t frame_token_slots = 0;  // sum over steps of frames in use x page_tokens (KV waste, DECISIONS 19)
  uint64_t kv_tokens = 0;          // sum over steps of tokens held in them
  int64_t planning_us = 0;         // scheduler and tiers, of all plans
  TokenSources sources;            // of the sequences that have ended
  TierStats tiers;
  std::array<int32_t, kNumTiers> frames_total = {};
  std::array<int32_t, kNumTiers> frames_used = {};  // cached pages included
  std::array<PageAgeCounts, kNumTiers> page_ages = {};  // of the cached pages; live_stats() alone counts them
  std::vector<int64_t> rank_busy_us;  // by rank: computing, not waiting for the others
  ReadingStats reading;               // of all ranks
  int64_t skew_us = 0;                // sum over steps of the busiest rank's time less the least busy one's
  int32_t running = 0;
  int32_t waiting = 0;
};

class Engine {
 public:
  /// `group` and `worker` outlive the engine; `num_frames` is the pool size that all ranks agreed on.
  struct Options {
    SchedulerSection scheduler;
    CacheSection cache;
    int32_t num_frames = 0;       // of the device
    int32_t num_host_frames = 0;
    int32_t num_disk_frames = 0;
    int32_t context_length = 0;
    std::vector<AttentionWindow> windows = {AttentionWindow{}};  // of each layer group: what is outside is wanted by none
    bool sparse = false;          // generated tokens read sparsely, and those of prompts from sparse_prompts_from on, where that is above 0
    int32_t sparse_prompts_from = 0;
    std::string origin;           // all that the bytes of a page depend on beside its tokens
    std::vector<DiskRecord> on_disk;  // pages that every rank found whole at the start
    TraceWriter* trace = nullptr;     // outlives the engine
  };
  Engine(RankGroup& group, Worker& worker, const Options& options);
  ~Engine();

  /// A request that can never run (longer than the context or than the whole pool) comes back as a kError event.
  SequenceId submit(Request request);
  /// Takes effect within one step; the sequence then ends with kCancelled. Unknown or ended ids are ignored.
  void cancel(SequenceId id);
  /// Longest prompt + max_tokens that is not refused: the context, or what the whole pool holds.
  int32_t max_sequence_tokens() const;
  /// True while any sequence is waiting or running.
  bool busy() const;
  /// Plans, executes and commits one step; events in order.
  std::vector<SequenceEvent> step();
  /// While nothing else is to do: has pages of the host tier written to the disk tier as well, a few at a time, so that a crash costs little. False when
  /// all are there.
  bool write_behind();
  /// Moves cached pages out to the disk tier, where there is one, for the next run. For the end; may take as long as writing them does.
  void write_out();
  /// Tells the other ranks to leave Session::follow(). When done, or when they are wanted for something else in between.
  void stop();
  /// Time passes for the pages' ages in stats(); a step does it, too.
  void tick();
  EngineStats stats() const;
  /// With what takes longer to count than is worth it at each step.
  EngineStats live_stats() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
