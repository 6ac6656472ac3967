#include "runtime/page_origin.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

namespace terrace {
namespace {

/// Of the file's bytes at a thousand places: models of one shape differ in all their weights, and nobody waits for 140 GB to be read.
uint64_t sample_digest(const GgufFile& file) {
  constexpr size_t kPlaces = 1024;
  constexpr size_t kBytes = 512;
  uint64_t digest = 0;
  const size_t count = file.tensors().size();
  for (size_t i = 0; count > 0 && i < kPlaces; ++i) {
    const GgufTensor& tensor = file.tensors()[i * count / kPlaces];
    const size_t bytes = std::min(kBytes, tensor.bytes);
    const size_t place = i * 2654435761u % (tensor.bytes - bytes + 1);
    digest = XXH3_64bits_withSeed(tensor.data + place, bytes, digest + place);
  }
  return digest;
}

std::string describe(const GeometryConfig& g) {
  return fmt::format("dummy {} {} {} {} {} {} {} {} {}", g.layers, g.hidden_size, g.heads, g.kv_heads, g.head_dim, g.ffn_size, g.vocab_size, g.rope_base,
                     static_cast<int>(g.format));
}

void add(const RopeConfig& rope, std::vector<float>& numbers) {
  numbers.insert(numbers.end(), {static_cast<float>(rope.style), static_cast<float>(rope.rotary_dim), rope.attention_factor});
  numbers.insert(numbers.end(), rope.inverse_frequency.begin(), rope.inverse_frequency.end());
}

/// Of what a file says beside its weights: one may be edited in place, and as long as before.
uint64_t arithmetic_digest(const ModelConfig& model) {
  std::vector<float> numbers = {model.rms_eps, model.attention_scale, model.embedding_scale, static_cast<float>(model.gate_activation), model.head_norms ? 1.0f : 0.0f, model.post_norms ? 1.0f : 0.0f};
  numbers.insert(numbers.end(), model.windows.begin(), model.windows.end());
  add(model.rope, numbers);
  if (model.window_rope) add(*model.window_rope, numbers);
  return XXH3_64bits(numbers.data(), numbers.size() * sizeof(float));
}

// What is generated depends on it; prompts are told apart for nothing.
std::string describe_reading(const ModelConfig& model) {
  const SparseReading& sparse = model.sparse;
  if (!model.reads_sparsely()) return "";
  return fmt::format(", sparse {} {} {} {} {} from layer {}", static_cast<int>(sparse.mode), sparse.pages, sparse.sink_pages, sparse.recent_pages, sparse.epsilon, model.first_sparse_layer);
}

}  // namespace

std::string page_origin(const PageOriginInputs& inputs) {
  const PageLayout& layout = inputs.layout;
  const std::string weights = inputs.file != nullptr ? fmt::format("{} {:016x}", inputs.file->file_bytes(), sample_digest(*inputs.file)) : describe(*inputs.geometry);
  const AttentionWindow window = inputs.model->endless ? inputs.model->window_of(0) : AttentionWindow();
  const std::string stored = inputs.stored == layout.format() ? "" : fmt::format(", stored as {}", kv_format_name(inputs.stored));
  return fmt::format("{} {} {:016x} on {} ranks, {} a host, {} {} {} {} {} {}, {}, window {} {}{}{}", inputs.model->architecture, weights, arithmetic_digest(*inputs.model), inputs.num_ranks, inputs.ranks_per_host,
                     kv_format_name(layout.format()), layout.page_tokens, layout.num_layers, layout.num_kv_heads, layout.head_dim, layout.page_stride,
                     inputs.arithmetic, window.size, window.sinks, stored, describe_reading(*inputs.model));
}

}  // namespace terrace
