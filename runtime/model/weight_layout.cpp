#include "runtime/model/weight_layout.h"

#include <fmt/format.h>

namespace terrace {

size_t MatrixSlice::bytes(DType dtype) const {
  const DTypeInfo& info = dtype_info(dtype);
  return static_cast<size_t>(rows.size()) * static_cast<size_t>(cols.size()) * info.block_bytes / info.block_elements;
}

std::vector<MatrixSlice> list_slices(const ModelConfig& model, const Shard& shard) {
  const int32_t dim = model.head_dim;
  const int32_t hidden = model.hidden_size;
  const Range q = {shard.q_heads.begin * dim, shard.q_heads.end * dim};
  const Range kv = {shard.kv_heads.begin * dim, shard.kv_heads.end * dim};
  const Range whole = {0, hidden};
  const int64_t q_size = int64_t{model.num_q_heads} * dim;
  const int64_t kv_size = int64_t{model.num_kv_heads} * dim;
  const int64_t ffn = model.ffn_size;

  std::vector<MatrixSlice> slices;
  for (int32_t layer = 0; layer < model.num_layers; ++layer) {
    const auto name = [layer](std::string_view part) { return fmt::format("blk.{}.{}", layer, part); };
    slices.push_back({WeightRole::kQ, layer, q_size, hidden, q, whole, name("attn_q")});
    slices.push_back({WeightRole::kK, layer, kv_size, hidden, kv, whole, name("attn_k")});
    slices.push_back({WeightRole::kV, layer, kv_size, hidden, kv, whole, name("attn_v")});
    slices.push_back({WeightRole::kO, layer, hidden, q_size, whole, q, name("attn_output")});
    slices.push_back({WeightRole::kGate, layer, ffn, hidden, shard.ffn, whole, name("ffn_gate")});
    slices.push_back({WeightRole::kUp, layer, ffn, hidden, shard.ffn, whole, name("ffn_up")});
    slices.push_back({WeightRole::kDown, layer, hidden, ffn, whole, shard.ffn, name("ffn_down")});
  }
  slices.push_back({WeightRole::kHead, 0, model.vocab_size, hidden, shard.vocab, whole, model.tied_head ? "token_embd" : "output"});
  return slices;
}

std::string norm_name(int32_t layer, std::string_view norm) { return fmt::format("blk.{}.{}.weight", layer, norm); }

int64_t norm_floats(const ModelConfig& model) {
  const int64_t layer = (model.post_norms ? 4 : 2) * int64_t{model.hidden_size} + (model.head_norms ? 2 * model.head_dim : 0);
  return model.num_layers * layer + model.hidden_size;
}

}  // namespace terrace
