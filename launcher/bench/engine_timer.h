// Times jobs of random token ids through a real engine: greedy, without end tokens, so that every token asked for is generated.
// Rank 0's step thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "launcher/bench/bench_cases.h"
#include "runtime/engine.h"

namespace terrace {

class Session;
struct Config;

BenchRoom room_of(const Session& session, const Config& config);

struct JobTiming {
  double prompt_seconds = 0;         // until every sequence has its first token
  double seconds = 0;                // until the last one's last
  int64_t prompt_tokens = 0;         // of all sequences
  int64_t generated_tokens = 0;
  int64_t tokens_after_prompts = 0;  // generated once every sequence had its first
  uint64_t steps = 0;
};

class EngineTimer {
 public:
  /// `engine` outlives the timer; `interrupted` is asked between steps.
  EngineTimer(Engine& engine, int32_t vocab_size, std::function<bool()> interrupted);

  /// nullopt when it was interrupted; the engine is idle again in any case. A job that the engine refuses is Error(kInvalidValue).
  std::optional<JobTiming> run(const BenchJob& job);
  /// The same for sequences of different lengths, submitted together.
  std::optional<JobTiming> run(const std::vector<BatchShape>& sequences);

 private:
  Request make_request(const BatchShape& shape);
  void cancel_all(const std::vector<SequenceId>& ids);

  Engine& engine_;
  int32_t vocab_size_;
  uint32_t last_seed_ = 0;
  std::function<bool()> interrupted_;
};

}  // namespace terrace
