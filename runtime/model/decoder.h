// A decoder-only transformer of the Llama family on one rank: token ids in, this rank's slice of the logits out. Two all-reduces a
// layer join the ranks' partial sums. Step thread only; knows no sequences, only runs of tokens over page tables.
#pragma once

#include <cstdint>
#include <span>

#include "comm/collective.h"
#include "kernels/backend.h"
#include "runtime/model/activations.h"
#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"
#include "runtime/model/weights.h"

namespace terrace {

class Decoder {
 public:
  /// Output positions whose logits are computed at a time: bounds the logits' memory.
  static constexpr int32_t kMaxOutputs = 32;

  /// `backend` and `collective` outlive the decoder. A step has at most `max_tokens` tokens.
  Decoder(ModelConfig model, Shard shard, DecoderWeights weights, Backend& backend, Collective& collective, int32_t max_tokens);

  /// Runs all layers: writes K and V into the pages, leaves the final hidden states for logits().
  void forward(const StepBatch& batch, const KvPool& kv);
  /// Logits of `rows` (indices in the batch; at most kMaxOutputs), [rows, shard.vocab]. Valid until the next call.
  MatrixView logits(std::span<const int32_t> rows);
  /// After the final norm, of `count` tokens of the batch from `first` on, [count, hidden_size]. Equal on every rank; valid until the next forward().
  MatrixView hidden_states(int64_t first, int64_t count) const { return {activations_.normed.row(first), count, activations_.normed.cols, activations_.normed.stride}; }

  const ModelConfig& model() const { return model_; }
  const LayerGroups& layer_groups() const { return groups_; }
  const Shard& shard() const { return shard_; }
  /// Throws if a sum of the step has failed on a device: call when the logits are on the host.
  void check_sums() { collective_.check(); }
  /// Time spent in all-reduces since the last call, waiting for other ranks included.
  int64_t take_all_reduce_us();

 private:
  void run_layers(const Activations& a, const KvPool& kv);
  MatrixView all_reduce(MatrixView partial);
  void all_reduce_then_norm(MatrixView partial, const ResidualNorm& then);

  ModelConfig model_;
  LayerGroups groups_;
  Shard shard_;
  DecoderWeights weights_;
  Backend& backend_;
  Collective& collective_;
  Activations activations_;
  int64_t all_reduce_us_ = 0;
};

}  // namespace terrace
