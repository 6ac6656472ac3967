// What a decoder-only transformer of the Llama family needs to know of itself, from a GGUF's metadata or a dummy geometry.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/config.h"
#include "runtime/model/gguf.h"
#include "runtime/model/layer_groups.h"
#include "runtime/pooling.h"

namespace terrace {

/// Rotary embedding, resolved: scaling (linear, llama3, yarn, a rope_freqs tensor) is already in the frequencies.
struct RopeConfig {
  RopeStyle style = RopeStyle::kAdjacentPairs;
  int32_t rotary_dim = 0;
  std::vector<float> inverse_frequency;  // [rotary_dim / 2] radians per position
  float attention_factor = 1.0f;         // multiplies sin and cos (yarn)
  std::string description;               // "base 100000, llama3 x8 of 8192"
};

struct ModelConfig {
  std::string architecture;  // "llama", "qwen2", "gemma3"
  std::string name;
  int32_t num_layers = 0;
  int32_t hidden_size = 0;
  int32_t num_q_heads = 0;
  int32_t num_kv_heads = 0;
  int32_t head_dim = 0;
  int32_t ffn_size = 0;
  int32_t vocab_size = 0;
  int32_t context_length = 0;
  float rms_eps = 1e-5f;
  float attention_scale = 0;  // multiplies q.k
  bool tied_head = false;     // the output head is the embedding table
  RopeConfig rope;

  std::optional<Pooling> pooling;  // where the file says how its embeddings are made

  // What Gemma 3 does differently.
  float embedding_scale = 1;  // multiplies the embedding's rows
  GateActivation gate_activation = GateActivation::kSilu;
  bool head_norms = false;    // RMS norms of each query and key head, before rope
  bool post_norms = false;    // RMS norms of what a block adds to the residual
  std::vector<int32_t> windows;           // [num_layers] positions that a token of the layer sees, its own included; 0: all
  std::optional<RopeConfig> window_rope;  // of layers with a window, where theirs is another

  // What the user wants of it (attention.window).
  int32_t sinks = 0;     // first positions that are seen from everywhere
  bool endless = false;  // sequences may be longer than context_length
  SparseReading sparse;  // of layers without a window, from first_sparse_layer on (attention.sparse)
  int32_t first_sparse_layer = 0;

  /// Of one layer.
  AttentionWindow window_of(int32_t layer) const {
    const int32_t window = windows[static_cast<size_t>(layer)];
    return window > 0 ? AttentionWindow{window, sinks} : AttentionWindow{};
  }
  SparseReading reading_of(int32_t layer) const { return layer < first_sparse_layer || windows[static_cast<size_t>(layer)] > 0 ? SparseReading{} : sparse; }
  bool reads_sparsely() const { return sparse.mode != SparseReading::Mode::kOff; }
  LayerGroups layer_groups() const;
  const RopeConfig& rope_of(int32_t layer) const { return window_rope && windows[static_cast<size_t>(layer)] != 0 ? *window_rope : rope; }
};

/// Throws kModelUnsupported for an architecture terrace does not run (naming those it does), kModelCorrupt for a contradiction.
ModelConfig read_model_config(const GgufFile& file);
ModelConfig make_dummy_model_config(const GeometryConfig& geometry);

/// Gives every layer the user's window, if there is one. kInvalidValue where the model has windows of its own, or where this one leaves its context.
void set_attention_window(const AttentionSection& attention, ModelConfig& model);

/// How an embedding is made where a request doesn't say.
Pooling default_pooling(const EmbeddingsSection& embeddings, const ModelConfig& model);

/// For people: "Smollm2 135M (llama)"; a dummy is "random weights (llama)".
std::string model_title(const ModelConfig& model);

}  // namespace terrace
