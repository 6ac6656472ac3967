#include "runtime/model/decoder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <utility>

#include "runtime/model/attention_block.h"
#include "runtime/model/ffn_block.h"
#include "runtime/model/linear_layer.h"

namespace terrace {
namespace {

using Steady = std::chrono::steady_clock;

int64_t microseconds_since(Steady::time_point start) { return std::chrono::duration_cast<std::chrono::microseconds>(Steady::now() - start).count(); }

std::span<float> floats_of(MatrixView dense) { return {dense.data, static_cast<size_t>(dense.rows * dense.cols)}; }
MatrixView like(MatrixView partial, std::span<float> sum) { return {sum.data(), partial.rows, partial.cols, partial.cols}; }

// The activations cut to the step's tokens.
Activations top(const Activations& all, int64_t num_tokens) {
  Activations a;
  a.residual = all.residual.top(num_tokens);
  a.normed = all.normed.top(num_tokens);
  a.q = all.q.top(num_tokens);
  a.q_sinks = all.q_sinks.top(num_tokens);
  a.k = all.k.top(num_tokens);
  a.v = all.v.top(num_tokens);
  a.attention = all.attention.top(num_tokens);
  a.gate = all.gate.top(num_tokens);
  a.up = all.up.top(num_tokens);
  return a;
}

}  // namespace

Decoder::Decoder(ModelConfig model, Shard shard, DecoderWeights weights, Backend& backend, Collective& collective, int32_t max_tokens)
    : model_(std::move(model)),
      groups_(model_.layer_groups()),
      shard_(std::move(shard)),
      weights_(std::move(weights)),
      backend_(backend),
      collective_(collective),
      activations_(Activations::allocate(backend, model_, shard_, max_tokens, kMaxOutputs)) {}

void Decoder::forward(const StepBatch& batch, const KvPool& kv) {
  backend_.begin_step(batch);
  auto rows = static_cast<int64_t>(batch.tokens.size());
  if (batch.is_decode()) rows = std::min(backend_.padded_tokens(rows), activations_.residual.rows);
  const Activations a = top(activations_, rows);
  backend_.embed(*weights_.embedding, model_.embedding_scale, a.residual);
  if (batch.is_decode()) {
    backend_.run_graph(static_cast<uint64_t>(rows), [&] { run_layers(a, kv); });
  } else {
    run_layers(a, kv);
  }
}

void Decoder::run_layers(const Activations& a, const KvPool& kv) {
  const MatrixView shape = a.residual;
  const auto partial = [&] {  // where a block writes what the ranks then sum: the collective's own memory
    return MatrixView{collective_.buffer(static_cast<size_t>(shape.rows * shape.cols)).data(), shape.rows, shape.cols, shape.cols};
  };
  const auto add_sum = [&](MatrixView out, const Buffer& post_norm, const Buffer& next_norm) {
    const ResidualNorm next = {a.residual, floats(next_norm), model_.rms_eps, a.normed};
    if (post_norm.bytes() == 0) return all_reduce_then_norm(out, next);
    backend_.rms_norm(all_reduce(out), floats(post_norm), model_.rms_eps, a.normed);  // not in place: other ranks may still read the sum
    backend_.add_rms_norm(next.residual, a.normed, next.weight, next.eps, next.out);
  };
  backend_.rms_norm(a.residual, floats(weights_.layers.front().attention_norm), model_.rms_eps, a.normed);
  for (size_t layer = 0; layer < weights_.layers.size(); ++layer) {
    const LayerWeights& weights = weights_.layers[layer];
    MatrixView out = partial();
    attention_block(backend_, model_, shard_, weights, static_cast<int32_t>(layer), groups_.places[layer], kv, a, out);
    add_sum(out, weights.post_attention_norm, weights.ffn_norm);
    out = partial();
    ffn_block(backend_, weights, model_.gate_activation, a, out);
    const bool last = layer + 1 == weights_.layers.size();
    add_sum(out, weights.post_ffn_norm, last ? weights_.output_norm : weights_.layers[layer + 1].attention_norm);
  }
}

MatrixView Decoder::logits(std::span<const int32_t> rows) {
  const auto count = static_cast<int64_t>(rows.size());
  const MatrixView selected = activations_.selected.top(count);
  const MatrixView out = activations_.logits.top(count);
  backend_.gather_rows(activations_.normed, rows, selected);
  const std::array<LinearOutput, 1> head = {to_output(weights_.head, out)};
  backend_.linear(selected, head);
  return out;
}

MatrixView Decoder::all_reduce(MatrixView partial) {
  if (collective_.size() == 1) return partial;
  const auto start = Steady::now();
  const std::span<float> sum = collective_.all_reduce(floats_of(partial));
  all_reduce_us_ += microseconds_since(start);
  return like(partial, sum);
}

void Decoder::all_reduce_then_norm(MatrixView partial, const ResidualNorm& then) {
  const auto apply = [&](MatrixView sum) { backend_.add_rms_norm(then.residual, sum, then.weight, then.eps, then.out); };
  if (collective_.size() == 1) return apply(partial);
  const auto start = Steady::now();
  std::optional<int64_t> waited;
  collective_.all_reduce_then_norm(floats_of(partial), then, [&](std::span<float> sum) {
    waited = microseconds_since(start);
    apply(like(partial, sum));
  });
  all_reduce_us_ += waited ? *waited : microseconds_since(start);
}

int64_t Decoder::take_all_reduce_us() { return std::exchange(all_reduce_us_, 0); }

}  // namespace terrace
