#include "runtime/memory_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/base/error.h"
#include "runtime/available_memory.h"
#include "runtime/model/activations.h"
#include "runtime/model/decoder.h"

namespace terrace {
namespace {

constexpr size_t kFixedWorkspace = size_t{64} << 20;  // thread stacks, attention partials, plans, allocator slack

[[noreturn]] void refuse(const MemoryPlan& plan, const std::string& wanted) {
  throw Error(ErrorCode::kOutOfMemory,
              fmt::format("Too little memory: this rank has {} available, its weights need {} and its workspace {}, which leaves {}, but {}. Lower "
                          "cache.device, scheduler.max_tokens_per_step or scheduler.max_sequences, use more hosts, or a model of fewer bits.",
                          format_bytes(plan.available), format_bytes(plan.weights), format_bytes(plan.workspace), format_bytes(plan.left), wanted));
}

/// Pages that max_sequences sequences of the whole context would fill; more would lie idle.
int64_t useful_pages(const Config& config, const ModelConfig& model) {
  // Beside what a stream sees, which is within the context, are the chunk that it computes and pages that are cut at both ends.
  const int64_t beside = model.endless ? config.scheduler.max_tokens_per_step + 2 * config.cache.page_tokens : 0;
  const int64_t per_sequence = (int64_t{model.context_length} + beside + config.cache.page_tokens - 1) / config.cache.page_tokens;
  return std::min<int64_t>(per_sequence * config.scheduler.max_sequences, std::numeric_limits<int32_t>::max());
}

size_t pool_bytes(const MemorySize& size, size_t left) {
  if (size.percent == 0) return static_cast<size_t>(size.bytes);
  return static_cast<size_t>(static_cast<double>(left) * size.percent / 100);
}

// Of pages off the device.
PageLayout stored_layout(const Config& config, const PageLayout& device) {
  if (config.cache.host_format == "same") return device;
  return make_page_layout(KvType::kQ8, device.page_tokens, device.num_layers, device.num_kv_heads, device.head_dim);
}

void plan_host_tier(const Config& config, const MemoryInputs& inputs, MemoryPlan& plan) {
  const size_t left = inputs.host_available > 0 ? inputs.host_available : plan.left - plan.kv_bytes;
  const size_t pool = pool_bytes(config.cache.host, left);
  plan.num_host_frames = static_cast<int32_t>(std::min<size_t>(pool / plan.stored_layout.page_stride, std::numeric_limits<int32_t>::max()));
  plan.host_bytes = static_cast<size_t>(plan.num_host_frames) * plan.stored_layout.page_stride;
  if (plan.host_bytes > left) {
    throw Error(ErrorCode::kOutOfMemory, fmt::format("Too little memory: cache.host asks for {} of each rank's memory, where {} remain. Lower cache.host or cache.device.",
                                                     format_bytes(pool), format_bytes(left)));
  }
}

}  // namespace

size_t estimate_workspace_bytes(const ModelConfig& model, const Shard& shard, const SchedulerSection& scheduler) {
  const auto tokens = static_cast<size_t>(scheduler.max_tokens_per_step);
  const int64_t widest = std::max({int64_t{model.hidden_size}, int64_t{shard.q_heads.size()} * model.head_dim, int64_t{shard.ffn.size()}});
  const size_t all_reduce = tokens * static_cast<size_t>(model.hidden_size) * sizeof(float);
  const size_t quantised_inputs = tokens * static_cast<size_t>(widest) * 3;  // two int8 planes, scales and sums
  return Activations::bytes(model, shard, scheduler.max_tokens_per_step, Decoder::kMaxOutputs) + all_reduce + quantised_inputs + kFixedWorkspace;
}

MemoryPlan plan_memory(const Config& config, const ModelConfig& model, const Shard& shard, const MemoryInputs& inputs) {
  MemoryPlan plan;
  plan.available = inputs.available;
  plan.weights = inputs.weight_bytes;
  plan.workspace = estimate_workspace_bytes(model, shard, config.scheduler);
  plan.layout = make_page_layout(config.cache.format, config.cache.page_tokens, model.num_layers, shard.kv_heads.size(), model.head_dim);
  plan.stored_layout = stored_layout(config, plan.layout);
  plan.kv_bytes_per_token = (plan.layout.page_stride + static_cast<size_t>(config.cache.page_tokens) - 1) / static_cast<size_t>(config.cache.page_tokens);
  const size_t needed = plan.weights + plan.workspace;
  plan.left = plan.available - std::min(plan.available, needed);
  if (needed > plan.available) refuse(plan, "nothing remains for KV pages");

  const size_t pool = pool_bytes(config.cache.device, plan.left);
  const auto affordable = static_cast<int64_t>(std::min<size_t>(pool / plan.layout.page_stride, std::numeric_limits<int32_t>::max()));
  const int64_t useful = useful_pages(config, model);
  plan.capped = affordable >= useful;
  plan.num_frames = static_cast<int32_t>(std::min(affordable, useful));
  plan.kv_bytes = static_cast<size_t>(plan.num_frames) * plan.layout.page_stride;
  if (plan.num_frames < 1) {
    refuse(plan, fmt::format("cache.device gives the KV cache {} and one page takes {}", format_bytes(pool), format_bytes(plan.layout.page_stride)));
  }
  if (plan.kv_bytes > plan.left) refuse(plan, fmt::format("cache.device asks for {}", format_bytes(pool)));
  plan_host_tier(config, inputs, plan);
  return plan;
}

std::string describe(const MemoryPlan& plan) {
  const int64_t tokens = int64_t{plan.num_frames} * plan.layout.page_tokens;
  return fmt::format(
      "memory of this rank: {} available, weights {}, workspace {}, left {}\n"
      "KV cache: {} {} per token, page of {} tokens {}\n"
      "tier device: {} pages, {} tokens, {}{}\n"
      "tier host: {}\n",
      format_bytes(plan.available), format_bytes(plan.weights), format_bytes(plan.workspace), format_bytes(plan.left),
      kv_format_name(plan.layout.format()), format_bytes(plan.kv_bytes_per_token), plan.layout.page_tokens, format_bytes(plan.layout.page_stride),
      plan.num_frames, tokens, format_bytes(plan.kv_bytes), plan.capped ? " (all that max_sequences full contexts can use)" : "",
      plan.num_host_frames == 0 ? "none (cache.host)" : fmt::format("{} pages, {} tokens, {}{}", plan.num_host_frames,
                                                                    int64_t{plan.num_host_frames} * plan.layout.page_tokens, format_bytes(plan.host_bytes),
                                                                    plan.stored_layout == plan.layout ? "" : fmt::format(", {} {} per token", kv_format_name(plan.stored_layout.format()),
                                                                                                                         format_bytes(plan.stored_layout.page_stride / static_cast<size_t>(plan.layout.page_tokens)))));
}

}  // namespace terrace
