#include "tests/support/runtime/tiny_model.h"

#include <fmt/format.h>

#include <cmath>

#include "runtime/model/random_blocks.h"

namespace terrace {
namespace {

void add_random(GgufBuilder& builder, const std::string& name, DType format, const std::vector<int64_t>& shape, float deviation) {
  const int64_t cols = shape.back();
  const DType dtype = cols % dtype_info(format).block_elements == 0 ? format : DType::kQ8_0;
  const int64_t rows = shape.size() == 1 ? 1 : shape.front();
  std::string data(dtype_bytes(dtype, rows * cols), '\0');
  const size_t row_bytes = dtype_bytes(dtype, cols);
  for (int64_t row = 0; row < rows; ++row) {
    fill_random_blocks(dtype, random_key(name.data(), name.size()), row, 0, cols / dtype_info(dtype).block_elements, deviation,
                       reinterpret_cast<std::byte*>(data.data()) + static_cast<size_t>(row) * row_bytes);
  }
  builder.add_tensor(name, dtype, shape, std::move(data));
}

void add_keys(GgufBuilder& builder, const TinyModelOptions& o) {
  const std::string prefix = o.architecture + ".";
  builder.add_string("general.architecture", o.architecture)
      .add_string("general.name", "tiny")
      .add_u32(prefix + "block_count", static_cast<uint32_t>(o.layers))
      .add_u32(prefix + "context_length", static_cast<uint32_t>(o.context_length))
      .add_u32(prefix + "embedding_length", static_cast<uint32_t>(o.hidden_size))
      .add_u32(prefix + "feed_forward_length", static_cast<uint32_t>(o.ffn_size))
      .add_u32(prefix + "attention.head_count", static_cast<uint32_t>(o.heads))
      .add_u32(prefix + "attention.head_count_kv", static_cast<uint32_t>(o.kv_heads))
      .add_u32(prefix + "attention.key_length", static_cast<uint32_t>(o.head_dim))
      .add_u32(prefix + "attention.value_length", static_cast<uint32_t>(o.head_dim))
      .add_f32(prefix + "attention.layer_norm_rms_epsilon", 1e-5f);
  if (o.window != 0) builder.add_u32(prefix + "attention.sliding_window", static_cast<uint32_t>(o.window));
  if (o.vocabulary != nullptr) return o.vocabulary->add_keys(builder);
  std::vector<std::string> tokens;
  for (int32_t token = 0; token < o.vocab_size; ++token) tokens.push_back(fmt::format("t{}", token));
  builder.add_strings("tokenizer.ggml.tokens", tokens);
}

}  // namespace

GgufBuilder make_tiny_model(const TinyModelOptions& o) {
  GgufBuilder builder;
  add_keys(builder, o);
  const auto matrix = [&](const std::string& name, int64_t rows, int64_t cols) {
    add_random(builder, name + ".weight", o.format, {rows, cols}, static_cast<float>(1 / std::sqrt(static_cast<double>(cols))));
    if (o.biases && name != "token_embd") add_random(builder, name + ".bias", DType::kF32, {rows}, 0.1f);
  };
  const auto norm = [&](const std::string& name) {
    builder.add_f32_tensor(name, {o.hidden_size}, std::vector<float>(static_cast<size_t>(o.hidden_size), 1.0f));
  };
  const bool gemma3 = o.architecture == "gemma3";
  const auto gemma_norm = [&](const std::string& name, int64_t size) { add_random(builder, name, DType::kF32, {size}, 1.0f); };
  matrix("token_embd", o.vocab_size, o.hidden_size);
  for (int32_t layer = 0; layer < o.layers; ++layer) {
    const std::string prefix = fmt::format("blk.{}.", layer);
    norm(prefix + "attn_norm.weight");
    matrix(prefix + "attn_q", o.heads * o.head_dim, o.hidden_size);
    matrix(prefix + "attn_k", o.kv_heads * o.head_dim, o.hidden_size);
    matrix(prefix + "attn_v", o.kv_heads * o.head_dim, o.hidden_size);
    matrix(prefix + "attn_output", o.hidden_size, o.heads * o.head_dim);
    norm(prefix + "ffn_norm.weight");
    matrix(prefix + "ffn_gate", o.ffn_size, o.hidden_size);
    matrix(prefix + "ffn_up", o.ffn_size, o.hidden_size);
    matrix(prefix + "ffn_down", o.hidden_size, o.ffn_size);
    if (!gemma3) continue;
    gemma_norm(prefix + "attn_q_norm.weight", o.head_dim);
    gemma_norm(prefix + "attn_k_norm.weight", o.head_dim);
    gemma_norm(prefix + "post_attention_norm.weight", o.hidden_size);
    gemma_norm(prefix + "post_ffw_norm.weight", o.hidden_size);
  }
  norm("output_norm.weight");
  if (!o.tied_head) matrix("output", o.vocab_size, o.hidden_size);
  return builder;
}

}  // namespace terrace
