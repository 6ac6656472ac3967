// What one rank answers to a step: the digest of what it did, its part of the logits of every output position, hidden states where they are wanted, timings.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "comm/control.h"
#include "kernels/backend.h"
#include "runtime/cache/move_result.h"

namespace terrace {

/// One rank's view of the logits at one output position, over its slice of the vocabulary. Token ids are the model's.
struct PositionReport {
  float max = 0;
  float sum_exp = 0;         // of exp(logit - max)
  bool has_target = false;   // this rank's slice holds the token asked for (RowOutput::kTokenLogprobs)
  float target_logit = 0;
  std::vector<TokenLogit> top;
  std::vector<float> full;   // the whole slice, where asked for
};

struct StepReport {
  uint64_t step = 0;
  uint64_t digest = 0;       // of this rank's page tables after the plan
  int64_t compute_us = 0;
  int64_t all_reduce_us = 0;  // of which waiting for and summing with the others
  ReadingStats reading;       // of the step's tokens that read sparsely
  std::vector<MoveResult> moves;  // page moves of this and earlier plans that have ended
  std::string tables;        // only when the digest differs from the plan's: this rank's tables, for the diff
  std::vector<PositionReport> positions;  // in the order of the plan's rows
  std::vector<float> hidden_states;  // [PlanRow::num_states() of the plan's rows, hidden_size]; rank 0's only
};

Bytes encode(const StepReport& report);
StepReport decode_report(std::span<const std::byte> bytes);

}  // namespace terrace
