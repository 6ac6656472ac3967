#include "tests/support/kernels/attention_world.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/base/half.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

constexpr int32_t kNumLayers = 2;
constexpr int32_t kLayer = 1;

}  // namespace

AttentionWorld::AttentionWorld(Backend& backend, const AttentionWorldOptions& options)
    : backend_(backend), options_(options) {
  pool_.layout =
      make_page_layout(options.dtype, options.page_tokens, kNumLayers, options.num_kv_heads, options.head_dim);
  std::vector<uint32_t> frames;
  for (size_t i = 0; i < options.lengths.size(); ++i) {
    const int64_t length = options.lengths[i];
    Sequence sequence;
    sequence.q = random_floats(options.seed + 10 * i, length * q_cols(), options.q_deviation);
    sequence.k = random_floats(options.seed + 10 * i + 1, length * kv_cols(), options.k_deviation);
    sequence.v = random_floats(options.seed + 10 * i + 2, length * kv_cols());
    if (options.nan_from >= 0) {
      const auto spoil = [&](std::vector<float>& values) {
        std::fill(values.begin() + options.nan_from * kv_cols(), values.end(), std::numeric_limits<float>::quiet_NaN());
      };
      spoil(sequence.k);
      spoil(sequence.v);
    }
    sequence.frames.resize(static_cast<size_t>((length + options.page_tokens - 1) / options.page_tokens));
    sequences_.push_back(std::move(sequence));
    frames.resize(frames.size() + sequences_.back().frames.size());
  }
  std::iota(frames.begin(), frames.end(), 0u);
  std::shuffle(frames.begin(), frames.end(), std::mt19937_64(options.seed));
  memory_ = backend.allocate(frames.size() * pool_.layout.page_stride);
  backend.write(memory_.data(), std::vector<std::byte>(memory_.bytes(), std::byte{0xff}));
  pool_.base = memory_.data();
  auto next = frames.begin();
  for (Sequence& sequence : sequences_) {
    for (uint32_t& frame : sequence.frames) frame = *next++;
  }
}

void AttentionWorld::step(const std::vector<Row>& rows) {
  std::vector<int32_t> tokens, positions, kv_page;
  std::vector<AttentionRun> runs;
  std::vector<uint32_t> frames;
  std::vector<float> q, k, v;
  for (const Row& row : rows) {
    Sequence& sequence = sequences_[static_cast<size_t>(row.sequence)];
    const auto first_page = static_cast<int32_t>(frames.size());
    runs.push_back({static_cast<int32_t>(positions.size()), row.num_tokens, sequence.done, first_page});
    frames.insert(frames.end(), sequence.frames.begin(), sequence.frames.end());
    const auto append = [&](std::vector<float>& to, const std::vector<float>& from, int64_t cols) {
      to.insert(to.end(), from.begin() + sequence.done * cols, from.begin() + (sequence.done + row.num_tokens) * cols);
    };
    append(q, sequence.q, q_cols());
    append(k, sequence.k, kv_cols());
    append(v, sequence.v, kv_cols());
    for (int32_t i = 0; i < row.num_tokens; ++i, ++sequence.done) {
      tokens.push_back(0);
      positions.push_back(sequence.done);
      kv_page.push_back(first_page + sequence.done / options_.page_tokens);
    }
  }
  const auto num_tokens = static_cast<int64_t>(positions.size());
  TestMatrix q_matrix(backend_, num_tokens, q_cols(), 8), k_matrix(backend_, num_tokens, kv_cols()),
      v_matrix(backend_, num_tokens, kv_cols());
  TestMatrix out(backend_, num_tokens, q_cols(), 16);
  q_matrix.set(q);
  k_matrix.set(k);
  v_matrix.set(v);
  backend_.begin_step({tokens, positions, kv_page, runs, frames});
  RopeKvArgs store;
  store.q = q_matrix.view();
  store.k = k_matrix.view();
  store.v = v_matrix.view();
  store.head_dim = options_.head_dim;
  store.layer = kLayer;
  store.kv = &pool_;
  backend_.rope_and_store_kv(store);
  AttentionArgs args;
  args.q = q_matrix.view();
  args.out = out.view();
  args.num_q_heads = static_cast<int32_t>(options_.kv_head_of_q.size());
  args.num_kv_heads = options_.num_kv_heads;
  args.kv_head_of_q = options_.kv_head_of_q;
  args.head_dim = options_.head_dim;
  args.scale = 1.0f / std::sqrt(static_cast<float>(options_.head_dim));
  args.layer = kLayer;
  args.kv = &pool_;
  backend_.attention(args);
  const std::vector<float> result = out.get(backend_);
  auto from = result.begin();
  for (const Row& row : rows) {
    std::vector<float>& output = sequences_[static_cast<size_t>(row.sequence)].output;
    output.insert(output.end(), from, from + row.num_tokens * q_cols());
    from += row.num_tokens * q_cols();
  }
}

void AttentionWorld::finish(int32_t sequence, int32_t chunk) {
  const int32_t length = options_.lengths[static_cast<size_t>(sequence)];
  for (const int32_t& done = sequences_[static_cast<size_t>(sequence)].done; done < length;) {
    step({{sequence, std::min(chunk, length - done)}});
  }
}

float AttentionWorld::stored(float value) const {
  switch (options_.dtype) {
    case DType::kF16: return f16_to_float(float_to_f16(value));
    case DType::kBF16: return bf16_to_float(float_to_bf16(value));
    default: return value;
  }
}

// The error that 16-bit products may add (half_error). u: unit roundoff of what is multiplied, 2^-11 (f16) or 2^-8 (bf16). Queries are rounded, keys of
// F32 pages too, so that score j is off by at most r u t_j, where t_j = scale * sum |q_d k_d| and r = 1 or 2; a weight is rounded once more. It is
// hence w_j (1 + e_j) with |e_j| <= (1 + u) exp(r u t_j) - 1, and since the same rounded weights are summed for the normaliser,
//   O~ - O = sum w_j e_j (v_j - O) / (1 + sum w_j e_j),   |O~ - O| <= sum w_j |e_j| |v_j - O| / (1 - max |e_j|).
// Weights of f16 below 2^-14 are off by up to 2^-25 instead (the largest of a piece is at least 1); values of F32 pages are rounded: u sum w_j |v_j|.
AttentionWorld::Expected AttentionWorld::expected(int32_t sequence_index, int32_t position) const {
  const Sequence& sequence = sequences_[static_cast<size_t>(sequence_index)];
  const auto dims = static_cast<size_t>(options_.head_dim);
  const auto q_stride = static_cast<size_t>(q_cols());
  const auto kv_stride = static_cast<size_t>(kv_cols());
  Expected result{std::vector<double>(q_stride), std::vector<double>(q_stride)};
  for (size_t head = 0; head < options_.kv_head_of_q.size(); ++head) {
    const float* q = sequence.q.data() + static_cast<size_t>(position) * q_stride + head * dims;
    const size_t kv_offset = static_cast<size_t>(options_.kv_head_of_q[head]) * dims;
    std::vector<double> scores, magnitudes;
    for (size_t j = 0; j <= static_cast<size_t>(position); ++j) {
      double dot = 0, magnitude = 0;
      for (size_t d = 0; d < dims; ++d) {
        const double product = static_cast<double>(q[d]) * stored(sequence.k[j * kv_stride + kv_offset + d]);
        dot += product;
        magnitude += std::abs(product);
      }
      scores.push_back(dot / std::sqrt(static_cast<double>(dims)));
      magnitudes.push_back(magnitude / std::sqrt(static_cast<double>(dims)));
    }
    expect_head(sequence, head, scores, magnitudes, result);
  }
  return result;
}

void AttentionWorld::expect_head(const Sequence& sequence, size_t head, const std::vector<double>& scores, const std::vector<double>& magnitudes,
                                 Expected& result) const {
  const auto dims = static_cast<size_t>(options_.head_dim);
  const auto kv_stride = static_cast<size_t>(kv_cols());
  const double roundoff = options_.dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11;
  const double rounded = options_.dtype == DType::kF32 ? 2 : 1;  // factors of a score
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (const double score : scores) total += std::exp(score - largest);
  const auto value = [&](size_t j, size_t d) { return stored(sequence.v[j * kv_stride + static_cast<size_t>(options_.kv_head_of_q[head]) * dims + d]); };
  double* output = result.output.data() + head * dims;
  double* error = result.half_error.data() + head * dims;
  double largest_change = 0;
  for (size_t j = 0; j < scores.size(); ++j) {
    for (size_t d = 0; d < dims; ++d) output[d] += std::exp(scores[j] - largest) / total * value(j, d);
  }
  for (size_t j = 0; j < scores.size(); ++j) {
    const double weight = std::exp(scores[j] - largest) / total;
    const double change = (1 + roundoff) * std::exp(rounded * roundoff * magnitudes[j]) - 1;
    largest_change = std::max(largest_change, change);
    for (size_t d = 0; d < dims; ++d) {
      error[d] += (weight * change + 0x1p-25) * std::abs(value(j, d) - output[d]);
      if (options_.dtype == DType::kF32) error[d] += roundoff * weight * std::abs(value(j, d));
    }
  }
  for (size_t d = 0; d < dims; ++d) error[d] /= 1 - largest_change;
}

}  // namespace terrace
