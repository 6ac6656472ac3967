// The techniques that are measured through the whole engine: the KV cache and continuous batching; and how many sequences paging fits into
// a pool. Rank 0's step thread, one rank.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/page_layout.h"
#include "launcher/bench/engine_timer.h"
#include "launcher/bench/svg_plot.h"
#include "launcher/bench/technique_result.h"

namespace terrace {

/// Milliseconds of one more token, by the number of tokens before it.
using TokenTimes = std::vector<std::pair<int32_t, double>>;

/// Medians of three. Stops early, with the times so far, when the timer is interrupted. Lengths that the room does not hold are left out.
TokenTimes measure_token_times(EngineTimer& timer, const BenchRoom& room, const std::vector<int32_t>& lengths, int32_t generated);
TechniqueResult compare_cache(const TokenTimes& cached, const TokenTimes& uncached);
Plot plot_cache(const TokenTimes& cached, const TokenTimes& uncached);

/// `count` requests of mixed lengths, the same each time.
std::vector<BatchShape> mixed_requests(int32_t count);
/// One request at a time, static batches of `slots`, continuous batching in as many slots. nullopt when interrupted.
std::optional<TechniqueResult> compare_batching(EngineTimer& timer, const std::vector<BatchShape>& requests, int32_t slots);

/// How many sequences lie in `num_frames` pages at a time, paged, and when each reserves `reserved_tokens` in one piece.
TechniqueResult compare_paging(int32_t num_frames, const PageLayout& layout, int32_t reserved_tokens);

}  // namespace terrace
