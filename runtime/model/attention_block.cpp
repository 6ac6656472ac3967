#include "runtime/model/attention_block.h"

#include <array>

#include "runtime/model/linear_layer.h"

namespace terrace {

void attention_block(Backend& backend, const ModelConfig& model, const Shard& shard, const LayerWeights& weights, int32_t layer, LayerPlace place,
                     const KvPool& kv, const Activations& a, MatrixView out) {
  const std::array<LinearOutput, 3> qkv = {to_output(weights.q, a.q), to_output(weights.k, a.k), to_output(weights.v, a.v)};
  backend.linear(a.normed, qkv);

  if (model.head_norms) {
    backend.rms_norm_heads(a.q, model.head_dim, floats(weights.q_norm), model.rms_eps);
    backend.rms_norm_heads(a.k, model.head_dim, floats(weights.k_norm), model.rms_eps);
  }

  const RopeConfig& turns = model.rope_of(layer);
  RopeKvArgs rope;
  rope.q = a.q;
  rope.k = a.k;
  rope.v = a.v;
  rope.head_dim = model.head_dim;
  rope.rotary_dim = turns.rotary_dim;
  rope.style = turns.style;
  rope.inverse_frequency = turns.inverse_frequency;
  rope.attention_factor = turns.attention_factor;
  rope.place = place;
  rope.kv = &kv;
  rope.exact_angles = model.endless;
  const AttentionWindow window = model.window_of(layer);
  if (window.sinks > 0) {
    rope.q_sinks = a.q_sinks;
    rope.window = window;
  }
  backend.rope_and_store_kv(rope);

  AttentionArgs attention;
  attention.q = a.q;
  attention.out = a.attention;
  attention.num_q_heads = shard.q_heads.size();
  attention.num_kv_heads = shard.kv_heads.size();
  attention.kv_head_of_q = shard.kv_head_of_q;
  attention.head_dim = model.head_dim;
  attention.scale = model.attention_scale;
  attention.window = window.size;
  attention.sinks = window.sinks;
  attention.q_sinks = rope.q_sinks;
  attention.sparse = model.reading_of(layer);
  attention.place = place;
  attention.kv = &kv;
  backend.attention(attention);

  const std::array<LinearOutput, 1> o = {to_output(weights.o, out)};
  backend.linear(a.attention, o);
}

}  // namespace terrace
