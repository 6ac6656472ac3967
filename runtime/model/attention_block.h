// The attention half of a decoder layer on one rank: normed hidden states in, this rank's partial sum of the block's output out.
#pragma once

#include "kernels/backend.h"
#include "runtime/model/activations.h"
#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"
#include "runtime/model/weights.h"

namespace terrace {

/// `a` holds the step's rows (see Decoder::forward); writes `out` [num_tokens, hidden], to be summed over ranks.
void attention_block(Backend& backend, const ModelConfig& model, const Shard& shard, const LayerWeights& weights, int32_t layer, LayerPlace place,
                     const KvPool& kv, const Activations& a, MatrixView out);

}  // namespace terrace
