// Chooses the next token from the logits at one position. Pure functions on rank 0: the result depends on the logits, the
// request and the position alone, so a request's text depends on its seed and not on what else runs (LAW 4).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/request.h"
#include "runtime/sampling/token_constraint.h"
#include "runtime/step_report.h"

namespace terrace {

/// Largest logits that a rank returns when it need not return all: enough for greedy choice, top-k and 20 log-probabilities.
inline constexpr int32_t kNumCandidates = 64;

/// The logits at one position, joined over the ranks' slices of the vocabulary.
struct PositionLogits {
  double log_sum_exp = 0;             // over the whole vocabulary, nats
  std::vector<TokenLogit> top;        // largest first; ties: smaller token first
  std::vector<float> full;            // [vocab_size], or empty
  bool has_target = false;
  float target_logit = 0;

  float logprob(float logit) const { return static_cast<float>(logit - log_sum_exp); }
};

/// `reports[rank]` is that rank's view of the position; slices ascend with the rank. Moves `full` out of them.
PositionLogits join_positions(std::span<PositionReport* const> reports);

/// Whether any token may come next under `mask`.
bool can_go_on(const TokenMask& mask, const Request& request, std::span<const int32_t> tokens);

/// Whether sampling this request needs every logit, or the top candidates are enough.
bool needs_full_logits(const Request& request);

struct SampledToken {
  int32_t token = 0;
  float logprob = 0;                // before bias, penalties and temperature (DECISIONS 24)
  std::vector<TokenLogprob> top;    // request.logprobs of them
};

/// `tokens` is the prompt and the output so far, `num_prompt` of them prompt. `mask`: of a constrained request, one that can go on.
/// Order: logit_bias, mask, min_tokens mask, penalties, temperature, min_p, top_k, top_p.
SampledToken sample_token(const PositionLogits& logits, const Request& request, std::span<const int32_t> tokens, const TokenMask* mask = nullptr);

/// The `count` largest as log-probabilities.
std::vector<TokenLogprob> top_logprobs(const PositionLogits& logits, int32_t count);

}  // namespace terrace
