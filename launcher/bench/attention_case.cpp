#include "launcher/bench/attention_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>

#include "kernels/base/half.h"

namespace terrace {
namespace {

/// The pool's memory as F16 (or its bits as BF16, integers or scales: small in any case) of random values, the same block again and again: quick, and no zeros.
void fill_pool(const Buffer& memory) {
  std::vector<float> values(1 << 14);
  fill_random(values.data(), values.size(), 1);
  std::vector<uint16_t> block;
  for (const float value : values) block.push_back(float_to_f16(value));
  for (size_t at = 0; at < memory.bytes(); at += 2 * block.size()) {
    std::memcpy(memory.data() + at, block.data(), std::min(2 * block.size(), memory.bytes() - at));
  }
}

}  // namespace

void fill_random(float* values, size_t count, uint32_t seed) {
  uint32_t state = seed;
  for (size_t i = 0; i < count; ++i) {
    state = state * 1664525u + 1013904223u;
    values[i] = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
}

AttentionCase::AttentionCase(Backend& backend, const Geometry& geometry) : backend_(backend) {
  pool_.layout = make_page_layout(geometry.format, geometry.page_tokens, geometry.num_layers, geometry.num_kv_heads, geometry.head_dim, geometry.sparse.mode != SparseReading::Mode::kOff);
  const int32_t pages = (geometry.depth + geometry.page_tokens - 1) / geometry.page_tokens;
  frames_.resize(static_cast<size_t>(pages) * static_cast<size_t>(geometry.num_sequences));
  std::iota(frames_.begin(), frames_.end(), 0u);
  std::shuffle(frames_.begin(), frames_.end(), std::minstd_rand(1));
  memory_ = backend.allocate(frames_.size() * pool_.layout.page_stride);
  pool_.base = memory_.data();
  fill_pool(memory_);
  for (int32_t i = 0; i < geometry.num_sequences; ++i) {
    const int32_t first = geometry.depth - geometry.num_tokens;
    runs_.push_back({i * geometry.num_tokens, geometry.num_tokens, first, i * pages, geometry.sparse.mode == SparseReading::Mode::kOff ? 0 : geometry.num_tokens});
    for (int32_t j = 0; j < geometry.num_tokens; ++j) positions_.push_back(first + j);
  }
  for (int32_t head = 0; head < geometry.num_q_heads; ++head) kv_head_of_q_.push_back(head / (geometry.num_q_heads / geometry.num_kv_heads));

  const int64_t width = int64_t{geometry.num_q_heads} * geometry.head_dim;
  const auto num_rows = static_cast<int64_t>(positions_.size());
  const auto count = static_cast<size_t>(num_rows * width);
  q_memory_ = backend.allocate(count * sizeof(float));
  out_memory_ = backend.allocate(count * sizeof(float));
  args_.q = {reinterpret_cast<float*>(q_memory_.data()), num_rows, width, width};
  args_.out = {reinterpret_cast<float*>(out_memory_.data()), num_rows, width, width};
  fill_random(args_.q.data, count, 2);
  fill_random(args_.out.data, count, 3);  // touched, so that it is no part of what the first run takes
  args_.num_q_heads = geometry.num_q_heads;
  args_.num_kv_heads = geometry.num_kv_heads;
  args_.kv_head_of_q = kv_head_of_q_;
  args_.head_dim = geometry.head_dim;
  args_.scale = 1.0f / std::sqrt(static_cast<float>(geometry.head_dim));
  args_.sparse = geometry.sparse;
  args_.kv = &pool_;
}

void AttentionCase::run() {
  if (args_.place.layer == 0) backend_.begin_step({positions_, positions_, {}, runs_, frames_});
  backend_.attention(args_);
  args_.place.layer = (args_.place.layer + 1) % pool_.layout.num_layers;
}

}  // namespace terrace
