// What the measured machine allows a model at most: the bounds that `terrace bench` puts beside its figures. Pure arithmetic; any thread.
//
// Decode reads every weight and every K and V before it once a token, so reading bounds it; a prompt reuses what it reads, so multiplying
// bounds it: int8 for the linear layers, fp32 for attention. Where both count, the slower one does. A bound assumes that nothing else
// costs anything, and that every rank works all the time.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/machine_limits.h"
#include "runtime/model/model_config.h"

namespace terrace {

/// Multiply-adds of the whole model, all ranks together.
struct ModelWork {
  double linear = 0;             // a token through all layers' linear ops
  double head = 0;               // a token's logits
  double attention_per_key = 0;  // a token per position attended
};

ModelWork model_work(const ModelConfig& model);

/// Sums over ranks.
struct BenchMachine {
  MachineLimits limits;
  size_t weight_bytes = 0;
  size_t kv_bytes_per_token = 0;
  ModelWork work;
};

/// Prompt tokens/s of `sequences` prompts of `prompt` tokens, with one row of logits each.
double prefill_bound(const BenchMachine& machine, int32_t prompt, int32_t sequences);
/// Generated tokens/s of `sequences` that each go from `depth` tokens on by `generated`. Linear ops read the weights once a step for all.
double decode_bound(const BenchMachine& machine, int32_t depth, int32_t generated, int32_t sequences);
/// Generated tokens/s of the whole job: one after the other.
double batch_bound(const BenchMachine& machine, int32_t prompt, int32_t generated, int32_t sequences);

}  // namespace terrace
