#include "runtime/trace_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/base/error.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

// Tracks of a rank's process. All names are ours and numbers are plain, so nothing needs escaping.
constexpr int kStepTrack = 0;
constexpr int kFirstLinkTrack = 1;
constexpr const char* kTrackNames[] = {"steps", "device to host", "host to device", "host to disk", "disk to host", "verify on the host"};

const char* step_name(const StepPlan& plan) {
  if (plan.rows.empty()) return "wait for pages";
  const auto num_single = std::ranges::count(plan.rows, 1, &PlanRow::num_tokens);
  if (num_single == 0) return "prefill";
  return num_single == static_cast<std::ptrdiff_t>(plan.rows.size()) ? "decode" : "mixed";
}

const char* outcome_name(MoveOutcome outcome) {
  return outcome == MoveOutcome::kDone ? "done" : outcome == MoveOutcome::kChecksum ? "checksum" : "io";
}

const char* finish_name(FinishReason reason) {
  constexpr const char* kNames[] = {"none", "stop", "length", "cancelled", "error"};
  return kNames[static_cast<size_t>(reason)];
}

}  // namespace

TraceWriter::TraceWriter(std::string path, int num_ranks, int64_t now_us)
    : path_(std::move(path)), num_ranks_(static_cast<size_t>(num_ranks)), origin_us_(now_us), link_drawn_us_(num_ranks_) {
  file_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (file_ < 0) throw Error(ErrorCode::kIoError, fmt::format("cannot write {}: {}. Choose another path for trace", path_, std::strerror(errno)));
  buffer_ = "[\n";
  name_tracks();
  flush();
}

TraceWriter::~TraceWriter() {
  flush();
  if (file_ >= 0) close(file_);
}

// Requests are a process of their own, drawn first.
void TraceWriter::name_tracks() {
  for (size_t process = 0; process <= num_ranks_; ++process) {
    const bool is_rank = process < num_ranks_;
    const std::string name = is_rank ? fmt::format("rank {}", process) : "requests";
    buffer_ += fmt::format(R"({}{{"ph":"M","pid":{},"name":"process_name","args":{{"name":"{}"}}}})", process == 0 ? "" : ",\n", process, name);
    buffer_ += fmt::format(R"(,{}{{"ph":"M","pid":{},"name":"process_sort_index","args":{{"sort_index":{}}}}})", "\n", process, is_rank ? process + 1 : 0);
    for (size_t track = 0; is_rank && track < std::size(kTrackNames); ++track) {
      buffer_ += fmt::format(R"(,{}{{"ph":"M","pid":{},"tid":{},"name":"thread_name","args":{{"name":"{}"}}}})", "\n", process, track, kTrackNames[track]);
    }
  }
}

void TraceWriter::add(char phase, size_t process, int track, std::string_view name, int64_t at_us, std::string_view fields) {
  if (file_ < 0) return;
  fmt::format_to(std::back_inserter(buffer_), R"(,{}{{"ph":"{}","pid":{},"tid":{},"name":"{}","ts":{}{}}})", "\n", phase, process, track, name,
                 std::max<int64_t>(at_us - origin_us_, 0), fields);
}

void TraceWriter::add_span(size_t process, int track, std::string_view name, int64_t begin_us, int64_t end_us, std::string_view args) {
  add('X', process, track, name, begin_us, fmt::format(R"(,"dur":{},"args":{{{}}})", std::max<int64_t>(end_us - begin_us, 0), args));
}

void TraceWriter::add_request(char phase, SequenceId id, std::string_view name, int64_t at_us, std::string_view args) {
  add(phase, num_ranks_, 0, name, at_us, fmt::format(R"(,"cat":"request","id":{},"args":{{{}}})", id, args));
}

void TraceWriter::arrived(SequenceId id, const Request& request, int64_t at_us) {
  requests_[id].num_prompt = request.prompt.size();
  add_request('b', id, "request", at_us, fmt::format(R"("request":{},"prompt tokens":{},"max tokens":{})", id, request.prompt.size(), request.max_tokens));
  add_request('b', id, "waiting", at_us);
}

// A slot that closes while its request is open is a preemption: those that end are gone from the books by then.
void TraceWriter::add_slot_updates(const StepPlan& plan, int64_t at_us) {
  for (const SlotUpdate& update : plan.slot_updates) {
    const auto found = requests_.find(update.sequence);
    if (found == requests_.end()) continue;
    if (update.action == SlotAction::kClose) {
      add_request('n', update.sequence, "preempted", at_us);
    } else if (!std::exchange(found->second.started, true)) {
      add_request('e', update.sequence, "waiting", at_us);
    }
  }
}

void TraceWriter::step(const StepPlan& plan, std::span<const StepReport> reports, const StepTimes& times, const Counters& counters) {
  add_slot_updates(plan, times.planned_us);
  add_span(0, kStepTrack, "plan", times.begun_us, times.planned_us, fmt::format(R"("step":{})", plan.step));
  add_span(0, kStepTrack, "broadcast", times.planned_us, times.sent_us);
  const std::string work = fmt::format(R"("step":{},"rows":{},"tokens":{},"frame copies":{},"moves started":{})", plan.step, plan.rows.size(), plan.tokens.size(),
                                       plan.copies.size(), plan.moves.size());
  for (const PageMove& move : plan.moves) moves_[move.id] = {move, times.sent_us, num_ranks_};
  for (size_t rank = 0; rank < reports.size(); ++rank) {
    const StepReport& report = reports[rank];
    const int64_t end_us = std::min(times.sent_us + report.compute_us, times.executed_us);
    add_span(rank, kStepTrack, step_name(plan), times.sent_us, end_us, fmt::format(R"({},"all-reduce us":{})", work, report.all_reduce_us));
    if (rank == 0 && reports.size() > 1) add_span(0, kStepTrack, "gather", end_us, times.executed_us);
    add_moves(rank, report.moves);
  }
  add_span(0, kStepTrack, "sample and commit", times.executed_us, times.committed_us);
  add('C', 0, 0, "device frames", times.sent_us, fmt::format(R"(,"args":{{"in use":{},"cached":{},"free":{}}})", counters.frames_in_use, counters.frames_cached,
                                                             counters.frames_free));
  add('C', 0, 0, "sequences", times.sent_us, fmt::format(R"(,"args":{{"running":{},"waiting":{}}})", counters.running, counters.waiting));
  flush();
}

void TraceWriter::add_moves(size_t rank, std::span<const MoveResult> results) {
  for (const MoveResult& result : results) {
    const auto found = moves_.find(result.id);
    if (found == moves_.end()) continue;
    const PageMove& move = found->second.move;
    const size_t link = link_of(move.from.tier, move.to.tier);
    const int64_t end_us = found->second.sent_us + result.us;
    int64_t& drawn_us = link_drawn_us_[rank][link];
    const int64_t begin_us = std::max(end_us - result.busy_us, drawn_us);
    drawn_us = std::max(end_us, begin_us);
    add_span(rank, kFirstLinkTrack + static_cast<int>(link), "page", begin_us, end_us,
             fmt::format(R"("page":"{:016x}","from frame":{},"to frame":{},"bytes":{},"outcome":"{}","waited us":{})", move.key.low, move.from.frame, move.to.frame,
                         result.bytes, outcome_name(result.outcome), result.us - result.busy_us));
    if (--found->second.ranks_left == 0) moves_.erase(found);
  }
}

void TraceWriter::event(const SequenceEvent& event, int64_t at_us) {
  const auto found = requests_.find(event.id);
  if (found == requests_.end()) return;
  OpenRequest& request = found->second;
  if (event.token >= 0 || event.sources.computed > 0) request.sources = event.sources;
  if (event.token >= 0 && !event.is_prompt && request.num_output++ == 0) add_request('n', event.id, "first token", at_us);
  if (event.finish == FinishReason::kNone) return;
  if (!request.started) add_request('e', event.id, "waiting", at_us);
  const TokenSources& from = request.sources;
  add_request('e', event.id, "request", at_us,
              fmt::format(R"("finish":"{}","prompt tokens":{},"output tokens":{},"computed":{},"from device":{},"from host":{},"from disk":{})",
                          finish_name(event.finish), request.num_prompt, request.num_output, from.computed, from.device, from.host, from.disk));
  requests_.erase(found);
}

// The bracket that ends the array is overwritten by the next events, in one call.
void TraceWriter::flush() {
  if (file_ < 0 || buffer_.empty()) return;
  const auto num_events = static_cast<int64_t>(buffer_.size());
  buffer_ += "\n]\n";
  ssize_t count;
  do {
    count = pwrite(file_, buffer_.data(), buffer_.size(), end_);
  } while (count < 0 && errno == EINTR);
  if (count != static_cast<ssize_t>(buffer_.size())) {
    log_warning(fmt::format("the trace ends here: cannot write {}: {}", path_, count < 0 ? std::strerror(errno) : "no room"));
    // What is there ends well all the same.
    if (pwrite(file_, "\n]\n", 3, end_) == 3 && ftruncate(file_, end_ + 3) != 0) log_warning(fmt::format("{} does not end in whole events", path_));
    close(std::exchange(file_, -1));
  }
  end_ += num_events;
  buffer_.clear();
}

}  // namespace terrace
