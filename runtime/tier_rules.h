// What a configuration of tiers must be for this model, memory and backend. Pure.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "runtime/config.h"
#include "runtime/memory_planner.h"
#include "runtime/model/model_config.h"

namespace terrace {

/// Throws Error(kInvalidValue) for what cannot go together, with the way out.
void check_tiers(const CacheSection& cache, const ModelConfig& model, const MemoryPlan& memory, const Backend& backend);

/// 0 without a disk tier. Throws Error(kInvalidValue) where only part of one is configured, or it has no host tier above it.
int64_t num_disk_frames(const CacheSection& cache, const MemoryPlan& memory);

}  // namespace terrace
