#include "runtime/memory_planner.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/base/error.h"
#include "kernels/page_mover.h"
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
int64_t useful_pages(const Config& config, const ModelConfig& model, int32_t num_groups) {
  // Beside what a stream sees, which is within the context, are the chunk that it computes and pages that are cut at both ends.
  const int64_t beside = model.endless ? config.scheduler.max_tokens_per_step + 2 * config.cache.page_tokens : 0;
  const int64_t per_sequence = (int64_t{model.context_length} + beside + config.cache.page_tokens - 1) / config.cache.page_tokens;
  return std::min<int64_t>(per_sequence * num_groups * config.scheduler.max_sequences, std::numeric_limits<int32_t>::max());
}

size_t pool_bytes(const MemorySize& size, size_t left) {
  if (size.percent == 0) return static_cast<size_t>(size.bytes);
  return static_cast<size_t>(static_cast<double>(left) * size.percent / 100);
}

// Of pages off the device.
PageLayout stored_layout(const Config& config, const PageLayout& device) {
  if (config.cache.host_format == "same") return device;
  return make_page_layout(KvType::kQ8, device.page_tokens, device.num_layers, device.num_kv_heads, device.head_dim, device.summary_bytes > 0);
}

/// Of pages that change their format between a device and the host.
size_t staging_bytes(const Config& config, const MemoryInputs& inputs, const MemoryPlan& plan) {
  const bool has_host_tier = config.cache.host.bytes > 0 || config.cache.host.percent > 0;
  const bool on_device = inputs.host_available > 0;
  return has_host_tier && on_device && plan.stored_layout != plan.layout ? PageMover::kStagedPages * plan.stored_layout.page_stride : 0;
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
  const LayerGroups groups = model.layer_groups();
  plan.num_groups = groups.count();
  plan.layout = make_page_layout(config.cache.format, config.cache.page_tokens, groups.layers_per_group, shard.kv_heads.size(), model.head_dim, model.reads_sparsely());
  plan.stored_layout = stored_layout(config, plan.layout);
  plan.workspace += staging_bytes(config, inputs, plan);
  const auto bytes_in = [&](auto num_groups) {
    const auto page_tokens = static_cast<size_t>(config.cache.page_tokens);
    return (plan.layout.page_stride * static_cast<size_t>(num_groups) + page_tokens - 1) / page_tokens;
  };
  plan.kv_bytes_per_token = bytes_in(plan.num_groups);
  plan.kv_bytes_in_windows = bytes_in(std::ranges::count_if(groups.windows, [](const AttentionWindow& window) { return window.size > 0; }));
  const size_t needed = plan.weights + plan.workspace;
  plan.left = plan.available - std::min(plan.available, needed);
  if (needed > plan.available) refuse(plan, "nothing remains for KV pages");

  const size_t pool = pool_bytes(config.cache.device, plan.left);
  const auto affordable = static_cast<int64_t>(std::min<size_t>(pool / plan.layout.page_stride, std::numeric_limits<int32_t>::max()));
  const int64_t useful = useful_pages(config, model, plan.num_groups);
  plan.capped = affordable >= useful;
  plan.num_frames = static_cast<int32_t>(std::min(affordable, useful));
  plan.kv_bytes = static_cast<size_t>(plan.num_frames) * plan.layout.page_stride;
  if (plan.num_frames < plan.num_groups) {
    const std::string first = plan.num_groups == 1 ? "one page takes" : fmt::format("the first {} pages take", plan.num_groups);
    refuse(plan, fmt::format("cache.device gives the KV cache {} and {} {}", format_bytes(pool), first, format_bytes(plan.layout.page_stride * static_cast<size_t>(plan.num_groups))));
  }
  if (plan.kv_bytes > plan.left) refuse(plan, fmt::format("cache.device asks for {}", format_bytes(pool)));
  plan_host_tier(config, inputs, plan);
  return plan;
}

std::string describe(const MemoryPlan& plan) {
  const std::string pages = plan.num_groups == 1 ? "page" : fmt::format("{} pages", plan.num_groups);
  const std::string windowed = plan.kv_bytes_in_windows == 0 ? "" : fmt::format(", {} of them while the token is in a window", format_bytes(plan.kv_bytes_in_windows));
  return fmt::format(
      "memory of this rank: {} available, weights {}, workspace {}, left {}\n"
      "KV cache: {} {} per token{}, {} of {} tokens {}\n"
      "tier device: {} pages, {} tokens, {}{}\n"
      "tier host: {}\n",
      format_bytes(plan.available), format_bytes(plan.weights), format_bytes(plan.workspace), format_bytes(plan.left),
      kv_format_name(plan.layout.format()), format_bytes(plan.kv_bytes_per_token), windowed, pages, plan.layout.page_tokens,
      format_bytes(plan.layout.page_stride * static_cast<size_t>(plan.num_groups)), plan.num_frames, plan.tokens_in(plan.num_frames), format_bytes(plan.kv_bytes), plan.capped ? " (all that max_sequences full contexts can use)" : "",
      plan.num_host_frames == 0 ? "none (cache.host)" : fmt::format("{} pages, {} tokens, {}{}", plan.num_host_frames,
                                                                    plan.tokens_in(plan.num_host_frames), format_bytes(plan.host_bytes),
                                                                    plan.stored_layout == plan.layout ? "" : fmt::format(", {} {} per token", kv_format_name(plan.stored_layout.format()),
                                                                                                                         format_bytes(plan.stored_layout.page_stride * static_cast<size_t>(plan.num_groups) / static_cast<size_t>(plan.layout.page_tokens)))));
}

}  // namespace terrace
