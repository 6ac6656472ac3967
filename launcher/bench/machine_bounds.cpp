#include "launcher/bench/machine_bounds.h"

#include <algorithm>

namespace terrace {
namespace {

bool measured(const BenchMachine& machine) { return machine.limits.set_rate > 0 && machine.limits.int8_multiply_adds > 0; }

/// Seconds for `tokens` tokens, `keys` keys attended by all of them together, and `rows` rows of logits.
double multiply_seconds(const BenchMachine& machine, double tokens, double keys, double rows) {
  return (tokens * machine.work.linear + rows * machine.work.head) / machine.limits.int8_multiply_adds +
         keys * machine.work.attention_per_key / machine.limits.fp32_multiply_adds;
}

double prefill_seconds(const BenchMachine& machine, int32_t prompt, int32_t sequences) {
  const double keys = 0.5 * prompt * (prompt + 1.0);
  return multiply_seconds(machine, double{1} * prompt * sequences, keys * sequences, sequences);
}

double decode_seconds(const BenchMachine& machine, int32_t depth, int32_t generated, int32_t sequences) {
  const double mean_keys = (depth + 0.5 * (generated + 1)) * sequences;
  const double bytes = static_cast<double>(machine.weight_bytes) + mean_keys * static_cast<double>(machine.kv_bytes_per_token);
  return generated * std::max(bytes / machine.limits.set_rate, multiply_seconds(machine, sequences, mean_keys, sequences));
}

}  // namespace

ModelWork model_work(const ModelConfig& model) {
  const double hidden = model.hidden_size;
  const double q = double{1} * model.num_q_heads * model.head_dim;
  const double kv = double{1} * model.num_kv_heads * model.head_dim;
  ModelWork work;
  work.linear = model.num_layers * (hidden * (q + 2 * kv) + q * hidden + 3 * hidden * model.ffn_size);
  work.head = hidden * model.vocab_size;
  work.attention_per_key = model.num_layers * 2 * q;
  return work;
}

double prefill_bound(const BenchMachine& machine, int32_t prompt, int32_t sequences) {
  return measured(machine) ? double{1} * prompt * sequences / prefill_seconds(machine, prompt, sequences) : 0;
}

double decode_bound(const BenchMachine& machine, int32_t depth, int32_t generated, int32_t sequences) {
  return measured(machine) && generated > 0 ? double{1} * generated * sequences / decode_seconds(machine, depth, generated, sequences) : 0;
}

double batch_bound(const BenchMachine& machine, int32_t prompt, int32_t generated, int32_t sequences) {
  if (!measured(machine)) return 0;
  // The first token of each sequence comes with its prompt.
  const double seconds = prefill_seconds(machine, prompt, sequences) + decode_seconds(machine, prompt, generated - 1, sequences);
  return double{1} * generated * sequences / seconds;
}

}  // namespace terrace
