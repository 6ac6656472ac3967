// The techniques that are measured on the attention kernel alone, through the Backend seam: tiles instead of all scores in memory, and fewer
// key and value heads at equal width. Rank 0's step thread, one rank.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/backend.h"
#include "launcher/bench/technique_result.h"
#include "runtime/model/model_config.h"

namespace terrace {

struct KernelBench {
  BackendOptions backend;             // threads and ISA of both ways
  std::function<bool()> interrupted;  // asked between measurements; then the result holds what there is
};

/// Prefill attention over whole prompts of `lengths` (multiples of 8): one KV head and its query heads.
TechniqueResult compare_flash(const KernelBench& bench, const ModelConfig& model, const std::vector<int32_t>& lengths);
/// One sequence's decode attention at `depth`: 32 query heads of 64 over 32, 8, 4 and 1 KV heads.
TechniqueResult compare_heads(const KernelBench& bench, int32_t depth);

}  // namespace terrace
