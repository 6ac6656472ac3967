// What a decoder-only transformer of the Llama family needs to know of itself, from a GGUF's metadata or a dummy geometry.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "runtime/config.h"
#include "runtime/model/gguf.h"

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
  std::string architecture;  // "llama"
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
};

/// Throws kModelUnsupported for an architecture terrace does not run (naming those it does), kModelCorrupt for a contradiction.
ModelConfig read_model_config(const GgufFile& file);
ModelConfig make_dummy_model_config(const GeometryConfig& geometry);

/// For people: "Smollm2 135M (llama)"; a dummy is "random weights (llama)".
std::string model_title(const ModelConfig& model);

}  // namespace terrace
