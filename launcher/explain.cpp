#include "launcher/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "kernels/backend.h"
#include "kernels/base/error.h"
#include "runtime/available_memory.h"
#include "runtime/memory_planner.h"
#include "runtime/model/gguf.h"
#include "runtime/model/sparse_layers.h"
#include "runtime/model/weights.h"

namespace terrace {
namespace {

std::string indented(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    out += fmt::format("#   {}\n", text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out;
}

}  // namespace

std::string explain_memory(const Config& config, int num_ranks, int local_ranks) {
  std::optional<GgufFile> file;
  if (config.model.load == "file") file = GgufFile::open(config.model.path);
  ModelConfig model = file ? read_model_config(*file) : make_dummy_model_config(config.model.geometry);
  set_attention_window(config.attention, model);
  set_sparse_reading(config.attention.sparse, model);
  const std::unique_ptr<Backend> backend = make_backend(config.backend, {});
  const size_t available = backend->free_memory().value_or(read_available_memory() / static_cast<size_t>(local_ranks));
  std::string out = fmt::format("# {} rank{}, {} on this host\n", num_ranks, num_ranks == 1 ? "" : "s", local_ranks);
  for (int rank = 0; rank < num_ranks; ++rank) {
    const Shard shard = make_shard(model, rank, num_ranks);
    out += fmt::format("# rank {}: query heads {}-{}, KV heads {}-{}\n", rank, shard.q_heads.begin, shard.q_heads.end - 1, shard.kv_heads.begin,
                       shard.kv_heads.end - 1);
    const size_t weights = file ? estimate_weight_bytes(*file, model, shard, *backend)
                                : estimate_weight_bytes(config.model.geometry, model, shard, *backend);
    try {
      out += indented(describe(plan_memory(config, model, shard, {.available = available, .weight_bytes = weights})));
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kOutOfMemory) throw;
      // The model's own figures all the same: such a configuration is usually meant for another machine.
      const MemoryPlan roomy = plan_memory(config, model, shard, {.available = size_t{1} << 50, .weight_bytes = weights});
      out += indented(fmt::format("weights {:.1f} GiB, KV cache {:.1f} KiB per token\ndoes not fit on this host: {}", static_cast<double>(weights) / (1 << 30),
                                  static_cast<double>(roomy.kv_bytes_per_token) / 1024, error.what()));
    }
  }
  return out;
}

}  // namespace terrace
