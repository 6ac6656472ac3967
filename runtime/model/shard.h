// Which part of a model one tensor-parallel rank holds. Pure arithmetic: every rank computes every rank's shard.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model/model_config.h"

namespace terrace {

struct Range {
  int32_t begin = 0;
  int32_t end = 0;
  int32_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

/// Query heads are dealt as contiguous ranges, by KV group where that comes out even; a rank keeps each KV head that its range touches
/// (replicated when ranks outnumber them). FFN columns are dealt in granules of 32, vocabulary rows in granules of 32, evenly by bytes.
struct Shard {
  int32_t rank = 0;
  int32_t num_ranks = 1;
  Range q_heads;
  Range kv_heads;
  Range ffn;    // columns of gate and up, input columns of down
  Range vocab;  // rows of the output head
  std::vector<int32_t> kv_head_of_q;  // [q_heads.size()] local KV head of each local query head
};

/// Throws kInvalidValue where num_ranks exceeds the query heads (or the FFN granules), with the largest count that works.
Shard make_shard(const ModelConfig& model, int rank, int num_ranks);

}  // namespace terrace
