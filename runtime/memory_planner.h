// How one rank's memory is divided: weights, workspace, and what is left for KV pages. Pure arithmetic before anything is allocated;
// every rank plans for itself, and all take the smallest number of pages. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "kernels/page_layout.h"
#include "runtime/config.h"
#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"

namespace terrace {

struct MemoryInputs {
  size_t available = 0;       // bytes this rank may take before anything is loaded: what is free on its device, or read_available_memory() / the host's ranks
  size_t weight_bytes = 0;    // of this rank: estimate_weight_bytes()
  size_t host_available = 0;  // for the host tier, where the device has memory of its own; 0: the device's memory is the host's
};

struct MemoryPlan {
  size_t available = 0;
  size_t weights = 0;
  size_t workspace = 0;           // activations and scratch of the longest step
  size_t left = 0;                // available - weights - workspace
  PageLayout layout;              // of this rank's pages, each of one layer group
  int32_t num_groups = 1;         // layer groups: a token is in a page of each
  PageLayout stored_layout;       // of the same page in the host tier and on disk
  size_t kv_bytes_per_token = 0;  // of this rank and all groups, padding of the pages included
  size_t kv_bytes_in_windows = 0;  // of these, the ones that a token takes only while it is in a window
  int32_t num_frames = 0;         // pages of the device tier
  size_t kv_bytes = 0;            // num_frames pages
  int32_t num_host_frames = 0;    // pages of the host tier
  size_t host_bytes = 0;          // num_host_frames pages
  bool capped = false;            // num_frames is all that scheduler.max_sequences full contexts can use

  /// Intervals of page_tokens positions that so many frames hold with a page of each group; where windows let pages go, they hold longer sequences.
  int32_t intervals_in(int32_t frames) const { return frames / num_groups; }
  int64_t tokens_in(int32_t frames) const { return int64_t{intervals_in(frames)} * layout.page_tokens; }
  /// Pages change their format on the way to the host tier.
  bool stores_another_format() const { return stored_layout != layout && num_host_frames > 0; }
};

/// Throws kOutOfMemory where weights and workspace leave no room for the KV pool asked for (or for a single page), with the figures and the
/// config keys that help; kInvalidValue where a page size is impossible.
MemoryPlan plan_memory(const Config& config, const ModelConfig& model, const Shard& shard, const MemoryInputs& inputs);

/// Activations, the all-reduce buffer, quantised inputs and the backend's scratch of a step of scheduler.max_tokens_per_step tokens.
size_t estimate_workspace_bytes(const ModelConfig& model, const Shard& shard, const SchedulerSection& scheduler);

/// Lines for --explain: "weights 51.3 MiB, workspace ...", "KV cache: 11.5 KiB per token, ...".
std::string describe(const MemoryPlan& plan);

}  // namespace terrace
