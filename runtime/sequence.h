// One request in flight, as the scheduler on rank 0 knows it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/cache/page.h"
#include "runtime/cache/page_key.h"
#include "runtime/cache/retention.h"
#include "runtime/request.h"
#include "runtime/step_plan.h"

namespace terrace {

/// A page in a running sequence's table.
struct SequencePage {
  PageRef place;            // kNoFrame: let go
  PageId cached = kNoPage;  // that lies there, held by this sequence; kNoPage: a frame of the sequence's alone
};

/// What a sequence has of one layer group.
struct SequenceGroup {
  // While running.
  std::vector<SequencePage> pages;  // in order of position
  int32_t num_published = 0;        // leading pages that were offered to the cache or came from it
  std::vector<size_t> on_device;    // of the published pages, the ones whose device copy its rows read; ascending
  int32_t num_let_go = 0;           // pages behind the sinks that have fallen out of the window and have no frame any more

  // While waiting: of the leading pages that were found in the cache, as many in all groups, the ones in sight from their end on. Held, and on their way to
  // the device.
  std::vector<PageId> prefix;       // kNoPage: out of sight
  std::vector<Tier> prefix_tier;    // where each was found
  size_t num_near = 0;              // leading ones seen where rows can read them; their holds keep them there
};

struct Sequence {
  SequenceId id = 0;
  Request request;
  std::vector<int32_t> tokens;        // the prompt, then the output
  int32_t num_computed = 0;           // positions whose K and V are in pages
  int32_t sparse_from = kReadsAll;    // tokens read sparsely from this position on
  int32_t prompt_logprobs_sent = 0;   // prompt positions reported; recomputation after a preemption does not report them again
  TokenSources sources;               // of all positions that were ever given K and V
  PageKey root;                       // where its chains of pages begin
  std::vector<PageKey> keys;          // of its full pages, as far as they were needed; of a group's: group_key()
  std::vector<SequenceGroup> groups;  // at least one

  // While running.
  int32_t slot = -1;
  uint64_t planned_step = 0;          // the last one that has a row of it
  HiddenStateMean states;             // of a request with pooling: those that count, as far as it has been computed

  // While waiting.
  size_t prefix_decided = 0;          // leading pages of which it has been decided whether they are fetched

  KeyChain chain(int32_t page_tokens) const { return {root, page_tokens, sparse_from}; }
  /// Leading pages that were found in the cache, while it waits.
  size_t prefix_pages() const { return groups.front().prefix.size(); }
  /// Leading pages that the cache was offered, while it runs.
  int32_t num_published() const { return std::ranges::min_element(groups, {}, &SequenceGroup::num_published)->num_published; }
  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_prompt() const { return static_cast<int32_t>(request.prompt.size()); }
  /// Something is wanted of each position of the prompt, so none may come from the cache.
  bool needs_every_position() const {
    return request.pooling == Pooling::kMean || (request.prompt_logprobs && prompt_logprobs_sent < num_prompt() - 1);
  }
  int32_t num_output() const { return num_tokens() - num_prompt(); }
  bool running() const { return slot >= 0; }
};

}  // namespace terrace
