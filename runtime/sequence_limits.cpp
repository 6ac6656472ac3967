#include "runtime/sequence_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <utility>

namespace terrace {

SequenceLimits::SequenceLimits(const Pool& pool, std::vector<PagesInSight> in_sight) : pool_(pool), in_sight_(std::move(in_sight)), max_positions_(pool.context_length) {
  if (most_frames(pool.context_length) <= pool.num_frames) return;
  // In place the host has them all, but for those that a chunk is computed into, beside one that it begins in.
  const bool in_place = pool.in_place && pool.num_frames >= 2 * static_cast<int32_t>(in_sight_.size());
  const int64_t frames = in_place ? std::max(pool.num_frames, pool.num_host_frames) : pool.num_frames;
  int64_t pages = 0;  // the most whose frames are there, bit by bit
  for (auto bit = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(frames) + 1)); bit > 0; bit /= 2) {
    if (most_frames((pages + bit) * pool.page_tokens) <= frames) pages += bit;
  }
  max_positions_ = static_cast<int32_t>(std::min<int64_t>(pool.context_length, pages * pool.page_tokens));
}

int32_t SequenceLimits::max_sequence_tokens() const { return std::min(pool_.context_length, max_positions_ + 1); }

// Of all groups together, for a sequence of so many positions.
int64_t SequenceLimits::most_frames(int64_t positions) const {
  int64_t frames = 0;
  for (const PagesInSight& group : in_sight_) frames += group.most_at_a_time(positions);
  return frames;
}

std::optional<std::string> SequenceLimits::refusal(const Request& request) const {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t longest = prompt + std::max(request.max_tokens, 0);
  const char* pool = pool_.in_place ? "host" : "device";
  if (prompt == 0) return "the prompt is empty: it must hold at least one token";
  if (longest > pool_.context_length) {
    return fmt::format("the prompt's {} tokens and max_tokens {} exceed the model's context of {} tokens", prompt, request.max_tokens, pool_.context_length);
  }
  if (request.pooling && prompt > max_positions_) {
    return fmt::format("the text's {} tokens need {} KV pages, but the pool has {}: raise cache.{} or give a shorter text", prompt, most_frames(prompt),
                       most_frames(max_positions_), pool);
  }
  if (longest > max_sequence_tokens()) {
    return fmt::format("the prompt's {} tokens and max_tokens {} need {} KV pages, but the pool has {}: raise cache.{} or lower max_tokens", prompt,
                       request.max_tokens, most_frames(longest - 1), most_frames(max_positions_), pool);
  }
  return std::nullopt;
}

}  // namespace terrace
