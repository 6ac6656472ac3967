// The feed-forward half of a decoder layer on one rank: activation(gate) * up, then down.
#pragma once

#include "kernels/backend.h"
#include "runtime/model/activations.h"
#include "runtime/model/weights.h"

namespace terrace {

/// Reads a.normed; writes `out` [num_tokens, hidden], this rank's partial sum.
void ffn_block(Backend& backend, const LayerWeights& weights, GateActivation activation, const Activations& a, MatrixView out);

}  // namespace terrace
