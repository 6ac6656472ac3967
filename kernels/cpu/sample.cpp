#include "kernels/cpu/sample.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace terrace {
namespace {

constexpr int64_t kBlocksPerChunk = kSelectChunk / kSelectBlock;

int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Larger first; equal ones by token.
bool before(const TokenLogit& a, const TokenLogit& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

}  // namespace

void TopSelector::select(MatrixView logits, int count, std::span<TopLogits> out) {
  const int64_t num_chunks = divide_up(logits.cols, kSelectChunk);
  const auto needed = static_cast<size_t>(logits.rows * num_chunks);
  if (chunks_.size() < needed) {
    chunks_.resize(needed);
    block_max_.resize(needed * kBlocksPerChunk);
  }
  pool_.parallel_for(logits.rows * num_chunks, 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t first = i % num_chunks * kSelectChunk;
      const int64_t size = std::min(kSelectChunk, logits.cols - first);
      chunks_[static_cast<size_t>(i)] =
          ops_.scan_chunk(logits.row(i / num_chunks) + first, size, block_max_.data() + i * kBlocksPerChunk);
    }
  });
  const int64_t wanted = std::min<int64_t>(count, logits.cols);
  pool_.parallel_for(logits.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row)
      select_row(logits.row(row), row, logits.cols, wanted, out[static_cast<size_t>(row)]);
  });
}

void TopSelector::select_row(const float* logits, int64_t row, int64_t cols, int64_t count, TopLogits& out) {
  const int64_t num_chunks = divide_up(cols, kSelectChunk);
  const ChunkStats stats = ops_.join_chunks(chunks_.data() + row * num_chunks, num_chunks);
  out.max = stats.max;
  out.sum_exp = stats.sum_exp;
  out.top.clear();
  if (count <= 0) return;

  // The count-th largest block maximum bounds the count-th largest logit from below: each of those blocks holds one at
  // least as large. So only blocks that reach it are looked into.
  const float* block_max = block_max_.data() + row * num_chunks * kBlocksPerChunk;
  const int64_t num_blocks = divide_up(cols, kSelectBlock);
  float threshold = -std::numeric_limits<float>::infinity();
  if (count < num_blocks) {
    std::vector<float> sorted(block_max, block_max + num_blocks);
    std::nth_element(sorted.begin(), sorted.begin() + (count - 1), sorted.end(), std::greater<>());
    threshold = sorted[static_cast<size_t>(count - 1)];
  }
  for (int64_t block = 0; block < num_blocks; ++block) {
    if (!(block_max[block] >= threshold)) continue;
    const int64_t end = std::min(cols, (block + 1) * kSelectBlock);
    for (int64_t column = block * kSelectBlock; column < end; ++column) {
      if (logits[column] >= threshold) out.top.push_back({static_cast<int32_t>(column), logits[column]});
    }
  }
  const size_t kept = std::min(out.top.size(), static_cast<size_t>(count));
  std::partial_sort(out.top.begin(), out.top.begin() + static_cast<std::ptrdiff_t>(kept), out.top.end(), before);
  out.top.resize(kept);
}

}  // namespace terrace
