// The weights of one rank's shard of a decoder, packed for its backend, and how they come to be: read by slice from a GGUF, or random.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/backend.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"

namespace terrace {

/// A linear layer; bias is empty where the model has none. Row-sharded layers hold a slice of the output features, o and down a slice of
/// the input features (their outputs are partial sums; a bias of theirs is kept on rank 0 alone).
struct LinearLayer {
  std::unique_ptr<Weight> weight;
  Buffer bias;
};

struct LayerWeights {
  Buffer attention_norm;  // [hidden]
  LinearLayer q, k, v, o;
  Buffer ffn_norm;        // [hidden]
  Buffer q_norm, k_norm;  // [head_dim], where the model has head norms; else empty
  Buffer post_attention_norm, post_ffn_norm;  // [hidden], where the model has post norms; else empty
  LinearLayer gate, up, down;
};

struct DecoderWeights {
  std::unique_ptr<Weight> embedding;  // [vocab, hidden], whole on every rank; on the CPU it refers to the mapped file or to embedding_storage
  std::unique_ptr<std::byte[]> embedding_storage;  // of random weights; else empty
  std::vector<LayerWeights> layers;
  Buffer output_norm;                 // [hidden]
  LinearLayer head;                   // [shard.vocab, hidden]
  size_t bytes = 0;                   // held by this rank where it computes: a mapped embedding counts on a device only
};

/// Called with (done, total) bytes of this rank, as they lie in the file, as loading goes on. May be empty.
using LoadProgress = std::function<void(size_t done, size_t total)>;

/// `file` must outlive the result. Missing tensor or wrong shape: Error(kModelCorrupt) that names the tensor, found and expected shape;
/// a tensor that terrace does not know: Error(kModelUnsupported), since leaving it out would change the answers.
DecoderWeights load_weights(const GgufFile& file, const ModelConfig& model, const Shard& shard, Backend& backend,
                            const LoadProgress& progress);
/// Random weights of the geometry, the same for every rank count: norms of 1, no biases, matrices that keep activations at their size.
DecoderWeights make_dummy_weights(const GeometryConfig& geometry, const ModelConfig& model, const Shard& shard, Backend& backend,
                                  const LoadProgress& progress);

/// Bytes that load_weights() or make_dummy_weights() would hold, without loading; the dummy's embedding is counted; a file's
/// is only mapped, but for a device, which gets a copy.
size_t estimate_weight_bytes(const GgufFile& file, const ModelConfig& model, const Shard& shard, const Backend& backend);
size_t estimate_weight_bytes(const GeometryConfig& geometry, const ModelConfig& model, const Shard& shard, const Backend& backend);

}  // namespace terrace
