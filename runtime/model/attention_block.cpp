#include "runtime/model/attention_block.h"

#include <array>

#include "runtime/model/linear_layer.h"

namespace terrace {

void attention_block(Backend& backend, const ModelConfig& model, const Shard& shard, const LayerWeights& weights, int32_t layer,
                     const KvPool& kv, const Activations& a, MatrixView out) {
  const std::array<LinearOutput, 3> qkv = {to_output(weights.q, a.q), to_output(weights.k, a.k), to_output(weights.v, a.v)};
  backend.linear(a.normed, qkv);

  RopeKvArgs rope;
  rope.q = a.q;
  rope.k = a.k;
  rope.v = a.v;
  rope.head_dim = model.head_dim;
  rope.rotary_dim = model.rope.rotary_dim;
  rope.style = model.rope.style;
  rope.inverse_frequency = model.rope.inverse_frequency;
  rope.attention_factor = model.rope.attention_factor;
  rope.layer = layer;
  rope.kv = &kv;
  backend.rope_and_store_kv(rope);

  AttentionArgs attention;
  attention.q = a.q;
  attention.out = a.attention;
  attention.num_q_heads = shard.q_heads.size();
  attention.num_kv_heads = shard.kv_heads.size();
  attention.kv_head_of_q = shard.kv_head_of_q;
  attention.head_dim = model.head_dim;
  attention.scale = model.attention_scale;
  attention.layer = layer;
  attention.kv = &kv;
  backend.attention(attention);

  const std::array<LinearOutput, 1> o = {to_output(weights.o, out)};
  backend.linear(a.attention, o);
}

}  // namespace terrace
