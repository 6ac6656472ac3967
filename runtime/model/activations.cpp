#include "runtime/model/activations.h"

#include <array>

namespace terrace {
namespace {

struct Shape {
  MatrixView Activations::* matrix;
  int64_t rows;
  int64_t cols;
  bool dense = false;  // no gap between rows where they are whole lines

  // Rows start on cache lines, so that threads that write neighbouring rows do not share one; and an odd number of lines apart, so that the same
  // columns of many rows do not meet in a few sets of a cache.
  int64_t stride() const { return (dense ? (cols + 15) / 16 : (cols + 15) / 16 | 1) * 16; }
};

std::array<Shape, 11> shapes(const ModelConfig& model, const Shard& shard, int64_t tokens, int64_t outputs) {
  const int64_t hidden = model.hidden_size;
  const int64_t q = int64_t{shard.q_heads.size()} * model.head_dim;
  const int64_t kv = int64_t{shard.kv_heads.size()} * model.head_dim;
  return {{{&Activations::residual, tokens, hidden},
           {&Activations::normed, tokens, hidden},
           {&Activations::q, tokens, q, model.head_norms},  // rms_norm_heads() takes all heads at once where they are rows
           {&Activations::q_sinks, tokens, model.sinks > 0 ? q : 0},
           {&Activations::k, tokens, kv, model.head_norms},
           {&Activations::v, tokens, kv},
           {&Activations::attention, tokens, q},
           {&Activations::gate, tokens, shard.ffn.size()},
           {&Activations::up, tokens, shard.ffn.size()},
           {&Activations::selected, outputs, hidden},
           {&Activations::logits, outputs, shard.vocab.size()}}};
}

}  // namespace

size_t Activations::bytes(const ModelConfig& model, const Shard& shard, int64_t max_tokens, int64_t max_outputs) {
  size_t total = 0;
  for (const Shape& s : shapes(model, shard, max_tokens, max_outputs)) total += static_cast<size_t>(s.rows * s.stride()) * sizeof(float);
  return total;
}

Activations Activations::allocate(Backend& backend, const ModelConfig& model, const Shard& shard, int64_t max_tokens, int64_t max_outputs) {
  Activations a;
  a.storage = backend.allocate(bytes(model, shard, max_tokens, max_outputs));
  auto* next = reinterpret_cast<float*>(a.storage.data());
  for (const Shape& s : shapes(model, shard, max_tokens, max_outputs)) {
    a.*s.matrix = {next, s.rows, s.cols, s.stride()};
    next += s.rows * s.stride();
  }
  return a;
}

}  // namespace terrace
