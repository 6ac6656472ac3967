// Which query heads of a rank share a KV head, and where the tile of one KV head finds its queries and its pages. Owned by the CPU's attention; set
// anew for each layer, read from pool threads.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/attention_tile.h"

namespace terrace {

class QueryHeads {
 public:
  void set(const AttentionArgs& args);
  int32_t first(int32_t kv_head) const { return begin_[static_cast<size_t>(kv_head)]; }
  int32_t count(int32_t kv_head) const { return first(kv_head + 1) - first(kv_head); }
  /// Of any KV head.
  int32_t most() const { return most_; }
  /// A tile of query tokens from `token` on, over the pages in `frames`. Which tokens and keys, and where results go, is left to be said.
  AttentionTile tile(const AttentionArgs& args, int32_t token, int32_t kv_head, const uint32_t* frames) const;

 private:
  std::vector<int32_t> begin_;  // [num_kv_heads + 1] first query head
  int32_t most_ = 0;
};

}  // namespace terrace
