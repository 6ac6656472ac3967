#include "runtime/model/shard.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {
namespace {

constexpr int32_t kGranule = 32;  // FFN columns and vocabulary rows: a quantisation block, and two SIMD tiles of rows

int32_t granules(int32_t size) { return (size + kGranule - 1) / kGranule; }

/// Part `index` of `size` things in `count` contiguous parts as even as can be, the longer ones first.
Range even_part(int32_t size, int index, int count) {
  const int32_t base = size / count;
  const int32_t longer = size % count;
  const int32_t begin = index * base + std::min(index, longer);
  return {begin, begin + base + (index < longer ? 1 : 0)};
}

Range deal_q_heads(const ModelConfig& model, int rank, int num_ranks) {
  if (num_ranks % model.num_kv_heads != 0) return even_part(model.num_q_heads, rank, num_ranks);
  // The same number of ranks to each KV head, so that no rank keeps two.
  const int ranks_per_kv_head = num_ranks / model.num_kv_heads;
  const int32_t group = model.num_q_heads / model.num_kv_heads;
  const int32_t first = rank / ranks_per_kv_head * group;
  const Range part = even_part(group, rank % ranks_per_kv_head, ranks_per_kv_head);
  return {first + part.begin, first + part.end};
}

Range touched_kv_heads(const ModelConfig& model, Range q_heads) {
  const int32_t group = model.num_q_heads / model.num_kv_heads;
  return {q_heads.begin / group, (q_heads.end - 1) / group + 1};
}

/// Deals granules one by one to the rank with the least load (the lowest such rank), at least one each; adds to `loads`.
std::vector<int32_t> deal_granules(int32_t count, int64_t weights_per_granule, std::vector<int64_t>& loads) {
  std::vector<int32_t> counts(loads.size(), 1);
  for (int64_t& load : loads) load += weights_per_granule;
  for (auto left = count - static_cast<int32_t>(loads.size()); left > 0; --left) {
    const auto lightest = std::min_element(loads.begin(), loads.end());
    *lightest += weights_per_granule;
    ++counts[static_cast<size_t>(lightest - loads.begin())];
  }
  return counts;
}

Range range_of(const std::vector<int32_t>& counts, int rank, int32_t size) {
  int32_t begin = 0;
  for (int i = 0; i < rank; ++i) begin += counts[static_cast<size_t>(i)];
  const int32_t end = begin + counts[static_cast<size_t>(rank)];
  return {begin * kGranule, std::min(end * kGranule, size)};
}

void check_rank_count(const ModelConfig& model, int rank, int num_ranks) {
  if (num_ranks < 1 || rank < 0 || rank >= num_ranks) {
    throw Error(ErrorCode::kInternal, fmt::format("there is no rank {} of {}", rank, num_ranks));
  }
  const int32_t largest = std::min({model.num_q_heads, granules(model.ffn_size), granules(model.vocab_size)});
  if (num_ranks <= largest) return;
  throw Error(ErrorCode::kInvalidValue,
              fmt::format("{} ranks are too many for this model: its {} query heads, {} FFN columns and {} vocabulary rows (dealt in 32s) can "
                          "be shared by {} ranks at most. Set parallel.ranks (or mpirun -n) to {} or fewer.",
                          num_ranks, model.num_q_heads, model.ffn_size, model.vocab_size, largest, largest));
}

}  // namespace

Shard make_shard(const ModelConfig& model, int rank, int num_ranks) {
  check_rank_count(model, rank, num_ranks);
  std::vector<int64_t> loads;  // weights that each rank reads in a decode step
  for (int i = 0; i < num_ranks; ++i) {
    const Range q_heads = deal_q_heads(model, i, num_ranks);
    const int64_t heads = 2 * (q_heads.size() + touched_kv_heads(model, q_heads).size());  // q, o; k, v
    loads.push_back(heads * model.head_dim * model.hidden_size * model.num_layers);
  }
  const int64_t granule_weights = int64_t{kGranule} * model.hidden_size;
  const std::vector<int32_t> ffn = deal_granules(granules(model.ffn_size), 3 * granule_weights * model.num_layers, loads);  // gate, up, down
  const std::vector<int32_t> vocab = deal_granules(granules(model.vocab_size), granule_weights, loads);

  Shard shard;
  shard.rank = rank;
  shard.num_ranks = num_ranks;
  shard.q_heads = deal_q_heads(model, rank, num_ranks);
  shard.kv_heads = touched_kv_heads(model, shard.q_heads);
  shard.ffn = range_of(ffn, rank, model.ffn_size);
  shard.vocab = range_of(vocab, rank, model.vocab_size);
  const int32_t group = model.num_q_heads / model.num_kv_heads;
  for (int32_t head = shard.q_heads.begin; head < shard.q_heads.end; ++head) {
    shard.kv_head_of_q.push_back(head / group - shard.kv_heads.begin);
  }
  return shard;
}

}  // namespace terrace
