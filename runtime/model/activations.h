// The activation matrices of one rank, allocated once for the longest step. Every block of the decoder writes into these.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/backend.h"
#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"

namespace terrace {

struct Activations {
  MatrixView residual;   // [max_tokens, hidden] the stream that blocks add to
  MatrixView normed;     // [max_tokens, hidden]
  MatrixView q;          // [max_tokens, q_heads * head_dim] of this rank
  MatrixView q_sinks;    // like q, as queries stand to the sinks; no columns where there are none
  MatrixView k;          // [max_tokens, kv_heads * head_dim]
  MatrixView v;          // like k
  MatrixView attention;  // like q
  MatrixView gate;       // [max_tokens, ffn columns]
  MatrixView up;         // like gate
  MatrixView selected;   // [max_outputs, hidden] rows whose logits are wanted
  MatrixView logits;     // [max_outputs, vocab slice]
  Buffer storage;

  static Activations allocate(Backend& backend, const ModelConfig& model, const Shard& shard, int64_t max_tokens, int64_t max_outputs);
  /// Bytes that allocate() takes.
  static size_t bytes(const ModelConfig& model, const Shard& shard, int64_t max_tokens, int64_t max_outputs);
};

}  // namespace terrace
