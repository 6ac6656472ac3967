#include "runtime/model/weights.h"

#include <algorithm>
#include <array>

#include "runtime/model/weight_layout.h"
#include "runtime/model/weight_source.h"

namespace terrace {
namespace {

// Layers whose inputs are quantised to 16 bits instead of 8, by measured loss of log-probability: the gated FFN activations have the widest
// range, and the head's error goes straight into the logits.
constexpr std::array kFineRoles = {WeightRole::kO, WeightRole::kDown, WeightRole::kHead};

PackOptions pack_options(WeightRole role) {
  return {.fine_activations = std::find(kFineRoles.begin(), kFineRoles.end(), role) != kFineRoles.end()};
}

LinearLayer& layer_of(DecoderWeights& weights, const MatrixSlice& slice) {
  if (slice.role == WeightRole::kHead) return weights.head;
  LayerWeights& layer = weights.layers[static_cast<size_t>(slice.layer)];
  switch (slice.role) {
    case WeightRole::kQ: return layer.q;
    case WeightRole::kK: return layer.k;
    case WeightRole::kV: return layer.v;
    case WeightRole::kO: return layer.o;
    case WeightRole::kGate: return layer.gate;
    case WeightRole::kUp: return layer.up;
    default: return layer.down;
  }
}

/// Of the embedding table, in the memory that the backend computes in: a device has its own copy, the CPU what the source made.
size_t embedding_bytes(WeightSource& source, const Backend& backend) { return backend.free_memory() ? source.table_bytes() : source.embedding_bytes(); }

class WeightLoader {
 public:
  WeightLoader(WeightSource& source, Backend& backend, const LoadProgress& progress)
      : source_(source), backend_(backend), progress_(progress) {}

  DecoderWeights load(const ModelConfig& model, const Shard& shard) {
    const std::vector<MatrixSlice> slices = list_slices(model, shard);
    for (const MatrixSlice& slice : slices) total_ += slice.bytes(source_.dtype(slice));  // finds what is missing before anything is read
    weights_.layers.resize(static_cast<size_t>(model.num_layers));
    load_norms(model);
    weights_.embedding = backend_.make_embedding(source_.embedding(weights_.embedding_storage));
    weights_.bytes += embedding_bytes(source_, backend_);
    if (backend_.free_memory()) weights_.embedding_storage.reset();
    for (size_t i = 0; i < slices.size(); ++i) {
      if (i + 1 < slices.size()) source_.will_need(slices[i + 1]);  // read ahead while this one is packed
      load_linear(slices[i]);
    }
    source_.finish();
    return std::move(weights_);
  }

 private:
  Buffer upload(const std::vector<float>& values) {
    if (values.empty()) return {};
    weights_.bytes += values.size() * sizeof(float);
    return backend_.upload(values);
  }

  void load_norms(const ModelConfig& model) {
    for (int32_t i = 0; i < model.num_layers; ++i) {
      const auto load_norm = [&](std::string_view name, int32_t size) { return upload(source_.norm(norm_name(i, name), size)); };
      LayerWeights& layer = weights_.layers[static_cast<size_t>(i)];
      layer.attention_norm = load_norm("attn_norm", model.hidden_size);
      layer.ffn_norm = load_norm("ffn_norm", model.hidden_size);
      if (model.head_norms) {
        layer.q_norm = load_norm("attn_q_norm", model.head_dim);
        layer.k_norm = load_norm("attn_k_norm", model.head_dim);
      }
      if (model.post_norms) {
        layer.post_attention_norm = load_norm("post_attention_norm", model.hidden_size);
        layer.post_ffn_norm = load_norm("post_ffw_norm", model.hidden_size);
      }
    }
    weights_.output_norm = upload(source_.norm(kOutputNormName, model.hidden_size));
  }

  void load_linear(const MatrixSlice& slice) {
    LinearLayer& layer = layer_of(weights_, slice);
    layer.weight = backend_.pack_linear(source_.matrix(slice), pack_options(slice.role));
    layer.bias = upload(source_.bias(slice));
    weights_.bytes += layer.weight->bytes();
    source_.release(slice);
    done_ += slice.bytes(source_.dtype(slice));
    if (progress_) progress_(done_, total_);
  }

  WeightSource& source_;
  Backend& backend_;
  const LoadProgress& progress_;
  DecoderWeights weights_;
  size_t done_ = 0;
  size_t total_ = 0;
};

size_t estimate(WeightSource& source, const ModelConfig& model, const Shard& shard, const Backend& backend) {
  size_t bytes = embedding_bytes(source, backend) + static_cast<size_t>(norm_floats(model)) * sizeof(float);
  for (const MatrixSlice& slice : list_slices(model, shard)) {
    bytes += backend.packed_bytes(source.dtype(slice), slice.rows.size(), slice.cols.size(), pack_options(slice.role));
  }
  return bytes;
}

}  // namespace

size_t estimate_weight_bytes(const GgufFile& file, const ModelConfig& model, const Shard& shard, const Backend& backend) {
  return estimate(*make_gguf_source(file, model, shard), model, shard, backend);
}

size_t estimate_weight_bytes(const GeometryConfig& geometry, const ModelConfig& model, const Shard& shard, const Backend& backend) {
  return estimate(*make_random_source(model, geometry.format), model, shard, backend);
}

DecoderWeights load_weights(const GgufFile& file, const ModelConfig& model, const Shard& shard, Backend& backend,
                            const LoadProgress& progress) {
  const std::unique_ptr<WeightSource> source = make_gguf_source(file, model, shard);
  return WeightLoader(*source, backend, progress).load(model, shard);
}

DecoderWeights make_dummy_weights(const GeometryConfig& geometry, const ModelConfig& model, const Shard& shard, Backend& backend,
                                  const LoadProgress& progress) {
  const std::unique_ptr<WeightSource> source = make_random_source(model, geometry.format);
  return WeightLoader(*source, backend, progress).load(model, shard);
}

}  // namespace terrace
