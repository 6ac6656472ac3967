// The time-line of a run as Chrome trace JSON, for ui.perfetto.dev or chrome://tracing: plans, steps, page moves, requests, counters. Rank 0, step
// thread only. Owns the file.
//
// The clocks of ranks are not comparable, so all is placed by rank 0's: a rank's step, and the moves that it starts, begin when rank 0 has sent the plan, and
// last as long as the rank says. The file is whole JSON after every step, also when the process is killed.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "runtime/request.h"
#include "runtime/step_plan.h"
#include "runtime/step_report.h"

namespace terrace {

class TraceWriter {
 public:
  /// Of one step, microseconds of steady_clock().
  struct StepTimes {
    int64_t begun_us = 0;
    int64_t planned_us = 0;
    int64_t sent_us = 0;       // to all ranks
    int64_t executed_us = 0;   // by all ranks, and their reports are here
    int64_t committed_us = 0;  // tokens sampled and booked
  };
  struct Counters {
    int32_t frames_in_use = 0;  // of the device
    int32_t frames_cached = 0;  // that hold pages which nobody uses now
    int32_t frames_free = 0;
    int32_t running = 0;  // sequences
    int32_t waiting = 0;
  };

  /// Makes the file anew; kIoError where that cannot be. Times before `now_us` are not drawn.
  TraceWriter(std::string path, int num_ranks, int64_t now_us);
  ~TraceWriter();
  TraceWriter(const TraceWriter&) = delete;
  TraceWriter& operator=(const TraceWriter&) = delete;

  void arrived(SequenceId id, const Request& request, int64_t at_us);
  void step(const StepPlan& plan, std::span<const StepReport> reports, const StepTimes& times, const Counters& counters);
  /// Its first token and its end, of all that comes of a request.
  void event(const SequenceEvent& event, int64_t at_us);
  /// Writes what has gathered. A disk that refuses ends the trace with a warning, not the run.
  void flush();

 private:
  struct OpenRequest {
    size_t num_prompt = 0;
    size_t num_output = 0;
    bool started = false;
    TokenSources sources;
  };
  struct OpenMove {
    PageMove move;
    int64_t sent_us = 0;
    size_t ranks_left = 0;
  };

  void name_tracks();
  /// Appends {COMMON, FIELDS}; `fields` is what follows in the object.
  void add(char phase, size_t process, int track, std::string_view name, int64_t at_us, std::string_view fields);
  void add_span(size_t process, int track, std::string_view name, int64_t begin_us, int64_t end_us, std::string_view args = {});
  void add_request(char phase, SequenceId id, std::string_view name, int64_t at_us, std::string_view args = {});
  void add_moves(size_t rank, std::span<const MoveResult> results);
  void add_slot_updates(const StepPlan& plan, int64_t at_us);

  std::string path_;
  size_t num_ranks_;
  int64_t origin_us_;
  int file_ = -1;
  int64_t end_ = 0;     // of the events in the file; behind it stands the closing bracket
  std::string buffer_;  // events since
  std::unordered_map<SequenceId, OpenRequest> requests_;
  std::unordered_map<uint32_t, OpenMove> moves_;
  std::vector<std::array<int64_t, kNumLinks>> link_drawn_us_;  // by rank: spans of one track may not overlap
};

}  // namespace terrace
