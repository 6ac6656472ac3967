// What a user asks of the engine for one sequence, and what comes back. Plain data; tokens only, text is runtime/text's business.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/cache/retention.h"
#include "runtime/pooling.h"

namespace terrace {

class TokenConstraint;

using SequenceId = uint64_t;  // never reused within a run

struct SamplingParams {
  float temperature = 1.0f;  // 0: greedy
  float top_p = 1.0f;
  int32_t top_k = 0;         // 0: all
  float min_p = 0.0f;
  float presence_penalty = 0.0f;    // over output tokens
  float frequency_penalty = 0.0f;   // over output tokens
  float repetition_penalty = 1.0f;  // over prompt and output tokens
  std::vector<std::pair<int32_t, float>> logit_bias;
  uint64_t seed = 0;
  uint32_t choice = 0;  // index among n choices: RNG = Philox(seed, choice, position)

  bool greedy() const { return temperature == 0.0f; }
};

struct Request {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  int32_t max_tokens = 16;
  int32_t min_tokens = 0;            // stop tokens are masked before
  std::vector<int32_t> stop_tokens;  // end the sequence when sampled; empty with ignore_eos
  std::optional<int32_t> logprobs;   // log-probabilities of output tokens and of so many alternatives (0..20)
  bool prompt_logprobs = false;      // the same for prompt tokens 1..n-1 (echo)
  std::optional<Pooling> pooling;    // no tokens follow: the prompt's hidden states are pooled into one vector
  int32_t cache_priority = kDefaultPriority;       // of its pages when it has ended: those of lower ones leave a full tier first; 0..100
  std::string cache_salt;            // cached pages are shared only between requests of equal salt
  std::shared_ptr<TokenConstraint> constraint;  // of this sequence alone; nullptr: any token may come
};

/// Where the K and V of a sequence's positions came from.
struct TokenSources {
  int64_t computed = 0;  // again after a preemption included
  int64_t device = 0;    // found in the device's pages
  int64_t host = 0;      // fetched from host memory
  int64_t disk = 0;      // fetched from disk

  int64_t cached() const { return device + host + disk; }
  TokenSources& operator+=(const TokenSources& other) {
    computed += other.computed;
    device += other.device;
    host += other.host;
    disk += other.disk;
    return *this;
  }
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kError };

struct TokenLogprob {
  int32_t token = 0;
  float logprob = 0;  // nats, of the model's own distribution (before temperature, penalties and bias)
};

/// One token of output (or, with is_prompt, one prompt token's log-probability), or the end of a sequence.
struct SequenceEvent {
  SequenceId id = 0;
  int32_t token = -1;  // < 0: no token in this event
  bool is_prompt = false;
  float logprob = 0;
  std::vector<TokenLogprob> top;  // largest first
  FinishReason finish = FinishReason::kNone;
  TokenSources sources;           // up to this event
  std::vector<float> pooled;      // at the end of a request with pooling: [hidden_size], not normalised
  std::string error;              // of kError: a sentence
};

}  // namespace terrace
