#include "launcher/bench/engine_timer.h"

#include <algorithm>
#include <chrono>
#include <random>
#include <unordered_set>
#include <utility>

#include "kernels/base/error.h"
#include "runtime/config.h"
#include "runtime/session.h"

namespace terrace {
namespace {

using SteadyClock = std::chrono::steady_clock;

double seconds_since(SteadyClock::time_point start) { return std::chrono::duration<double>(SteadyClock::now() - start).count(); }

}  // namespace

BenchRoom room_of(const Session& session, const Config& config) {
  const MemoryPlan& memory = session.memory();
  const int32_t frames = config.cache.in_place ? std::max(memory.num_frames, memory.num_host_frames) : memory.num_frames;
  return {session.model().context_length, config.scheduler.max_sequences, memory.intervals_in(frames), config.cache.page_tokens};
}

EngineTimer::EngineTimer(Engine& engine, int32_t vocab_size, std::function<bool()> interrupted)
    : engine_(engine), vocab_size_(vocab_size), interrupted_(std::move(interrupted)) {}

std::optional<JobTiming> EngineTimer::run(const BenchJob& job) {
  return run(std::vector<BatchShape>(static_cast<size_t>(job.sequences), {job.prompt, job.generated}));
}

std::optional<JobTiming> EngineTimer::run(const std::vector<BatchShape>& sequences) {
  std::vector<Request> requests;
  for (const BatchShape& shape : sequences) requests.push_back(make_request(shape));
  JobTiming timing;
  const uint64_t steps_before = engine_.stats().steps;
  const SteadyClock::time_point start = SteadyClock::now();
  std::vector<SequenceId> ids;
  for (Request& request : requests) {
    timing.prompt_tokens += static_cast<int64_t>(request.prompt.size());
    ids.push_back(engine_.submit(std::move(request)));
  }
  std::unordered_set<SequenceId> without_token(ids.begin(), ids.end());
  while (engine_.busy()) {
    if (interrupted_()) return cancel_all(ids), std::nullopt;
    const bool after_prompts = without_token.empty();
    for (const SequenceEvent& event : engine_.step()) {
      if (event.finish == FinishReason::kError) throw Error(ErrorCode::kInvalidValue, event.error);
      timing.generated_tokens += event.token >= 0;
      timing.tokens_after_prompts += event.token >= 0 && after_prompts;
      without_token.erase(event.id);
    }
    if (!after_prompts && without_token.empty()) timing.prompt_seconds = seconds_since(start);
  }
  timing.seconds = seconds_since(start);
  timing.steps = engine_.stats().steps - steps_before;
  return timing;
}

Request EngineTimer::make_request(const BatchShape& shape) {
  std::minstd_rand random(++last_seed_);  // tokens that no request had before: the prefix cache has none of them
  Request request;
  for (int32_t i = 0; i < shape.prompt; ++i) request.prompt.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(vocab_size_)));
  request.max_tokens = shape.generated;
  request.sampling.temperature = 0;
  return request;
}

void EngineTimer::cancel_all(const std::vector<SequenceId>& ids) {
  for (const SequenceId id : ids) engine_.cancel(id);
  while (engine_.busy()) engine_.step();
}

}  // namespace terrace
