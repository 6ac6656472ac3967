#include "tests/support/kernels/attention_world.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>

#include "kernels/base/half.h"
#include "tests/support/kernels/random_matrix.h"
#include "tests/support/kernels/stored_row.h"

namespace terrace {
namespace {

constexpr int32_t kNumLayers = 2;
constexpr int32_t kLayer = 1;
constexpr uint32_t kLost = 0xffffffffu;

/// All but a tenth of each key becomes that of its page's first key.
void liken_keys(const AttentionWorldOptions& options, int64_t cols, std::vector<float>& keys) {
  const auto stride = static_cast<size_t>(cols), page = stride * static_cast<size_t>(options.page_tokens);
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i % page >= stride) keys[i] = keys[i - i % page + i % stride] + 0.1f * keys[i];
  }
}

bool sees(const AttentionWindow& window, int32_t position, int32_t key) {
  return key <= position && (window.size == 0 || key > position - window.size || key < window.sinks);
}

}  // namespace

AttentionWorld::AttentionWorld(Backend& backend, const AttentionWorldOptions& options)
    : backend_(backend), options_(options) {
  pool_.layout =
      make_page_layout(options.format, options.page_tokens, kNumLayers, options.num_kv_heads, options.head_dim, options.sparse.mode != SparseReading::Mode::kOff);
  std::vector<uint32_t> frames;
  for (size_t i = 0; i < options.lengths.size(); ++i) {
    const int64_t length = options.lengths[i];
    Sequence sequence;
    sequence.q = random_floats(options.seed + 10 * i, length * q_cols(), options.q_deviation);
    sequence.k = random_floats(options.seed + 10 * i + 1, length * kv_cols(), options.k_deviation);
    if (options.alike_keys) liken_keys(options, kv_cols(), sequence.k);
    sequence.v = random_floats(options.seed + 10 * i + 2, length * kv_cols());
    if (options.sink_queries) sequence.q_sinks = random_floats(options.seed + 10 * i + 3, length * q_cols(), options.q_deviation);
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
  std::vector<float> q, k, v, q_sinks;
  for (const Row& row : rows) {
    Sequence& sequence = sequences_[static_cast<size_t>(row.sequence)];
    const auto first_page = static_cast<int32_t>(frames.size());
    lose_pages(sequence);
    const int32_t end = sequence.done + row.num_tokens;
    const int32_t num_sparse = options_.sparse.mode == SparseReading::Mode::kOff ? 0 : end - std::clamp(options_.sparse_from, sequence.done, end);
    runs.push_back({static_cast<int32_t>(positions.size()), row.num_tokens, sequence.done, first_page, num_sparse});
    frames.insert(frames.end(), sequence.frames.begin(), sequence.frames.end());
    const auto append = [&](std::vector<float>& to, const std::vector<float>& from, int64_t cols) {
      to.insert(to.end(), from.begin() + sequence.done * cols, from.begin() + (sequence.done + row.num_tokens) * cols);
    };
    append(q, sequence.q, q_cols());
    append(k, sequence.k, kv_cols());
    append(v, sequence.v, kv_cols());
    if (options_.sink_queries) append(q_sinks, sequence.q_sinks, q_cols());
    for (int32_t i = 0; i < row.num_tokens; ++i, ++sequence.done) {
      tokens.push_back(0);
      positions.push_back(sequence.done);
      kv_page.push_back(first_page + sequence.done / options_.page_tokens);
    }
  }
  const auto num_tokens = static_cast<int64_t>(positions.size());
  TestMatrix q_matrix(backend_, num_tokens, q_cols(), 8), k_matrix(backend_, num_tokens, kv_cols()),
      v_matrix(backend_, num_tokens, kv_cols());
  TestMatrix out(backend_, num_tokens, q_cols(), 16), q_sinks_matrix(backend_, num_tokens, q_cols(), 24);
  q_matrix.set(q);
  k_matrix.set(k);
  v_matrix.set(v);
  std::vector<uint32_t> tables(static_cast<size_t>(options_.group) * frames.size(), frames.front());
  tables.insert(tables.end(), frames.begin(), frames.end());
  const StepBatch batch = {tokens, positions, kv_page, runs, tables, options_.group + 1};
  backend_.begin_step(batch);
  RopeKvArgs store;
  store.q = q_matrix.view();
  store.k = k_matrix.view();
  store.v = v_matrix.view();
  store.head_dim = options_.head_dim;
  store.place = {options_.group, kLayer};
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
  args.soft_cap = options_.soft_cap;
  args.sparse = options_.sparse;
  args.place = {options_.group, kLayer};
  args.kv = &pool_;
  if (options_.sink_queries) {
    q_sinks_matrix.set(q_sinks);
    args.q_sinks = q_sinks_matrix.view();
  }
  if (options_.before_attention) options_.before_attention(args, batch);
  const auto attend = [&](const AttentionWindow& window) {
    args.window = window.size;
    args.sinks = window.sinks;
    backend_.attention(args);
  };
  for (const AttentionWindow& other : options_.other_windows) attend(other);
  attend(options_.window);
  const std::vector<float> result = out.get(backend_);
  if (is_rotated_key(options_.format.k)) {
    for (const Row& row : rows) keep_stored(sequences_[static_cast<size_t>(row.sequence)], row.num_tokens);
  }
  auto from = result.begin();
  for (const Row& row : rows) {
    std::vector<float>& output = sequences_[static_cast<size_t>(row.sequence)].output;
    output.insert(output.end(), from, from + row.num_tokens * q_cols());
    from += row.num_tokens * q_cols();
  }
}

void AttentionWorld::lose_pages(Sequence& sequence) {
  for (size_t page = 0; page < sequence.frames.size(); ++page) {
    const auto begin = static_cast<int32_t>(page) * options_.page_tokens;
    bool wanted = sequence.frames[page] == kLost || begin + options_.page_tokens > sequence.done;
    for (int32_t key = begin; key < begin + options_.page_tokens; ++key) {
      wanted = wanted || sees(options_.window, sequence.done, key);
      for (const AttentionWindow& other : options_.other_windows) wanted = wanted || sees(other, sequence.done, key);
    }
    if (wanted) continue;
    const std::vector<std::byte> nan(pool_.layout.page_stride, std::byte{0xff});
    backend_.write(pool_.base + sequence.frames[page] * pool_.layout.page_stride, nan);
    sequence.frames[page] = kLost;
  }
}

void AttentionWorld::finish(int32_t sequence, int32_t chunk) {
  const int32_t length = options_.lengths[static_cast<size_t>(sequence)];
  while (sequences_[static_cast<size_t>(sequence)].done < length) {
    step({{sequence, std::min(chunk, length - sequences_[static_cast<size_t>(sequence)].done)}});
  }
}

float AttentionWorld::stored(float value) const {
  switch (options_.format.k) {
    case KvType::kF16: return f16_to_float(float_to_f16(value));
    case KvType::kBF16: return bf16_to_float(float_to_bf16(value));
    default: return value;
  }
}

void AttentionWorld::keep_stored(Sequence& sequence, int32_t num_tokens) {
  std::vector<std::byte> pool(memory_.bytes());
  backend_.read(memory_.data(), pool);
  const PageLayout& layout = pool_.layout;
  const int turn = rotated_dims(options_.head_dim);
  for (int32_t position = sequence.done - num_tokens; position < sequence.done; ++position) {
    const std::byte* page = pool.data() + sequence.frames[static_cast<size_t>(position / options_.page_tokens)] * layout.page_stride;
    for (int32_t head = 0; head < options_.num_kv_heads; ++head) {
      const auto begin = static_cast<int64_t>(position) * kv_cols() + static_cast<int64_t>(head) * options_.head_dim;
      const auto read_row = [&](const PageRows& rows, bool rotated) {
        const std::vector<double> row = stored_row(page, layout, rows, kLayer, head, position % options_.page_tokens);
        return rotated ? hadamard(row, turn) : row;
      };
      const std::vector<double> k = read_row(layout.k, is_rotated_key(layout.k.type)), v = read_row(layout.v, is_rotated_value(layout.v.type));
      const auto as_float = [](double value) { return static_cast<float>(value); };
      std::transform(k.begin(), k.end(), sequence.k.begin() + begin, as_float);
      std::transform(v.begin(), v.end(), sequence.v.begin() + begin, as_float);
    }
  }
}

// The error that 16-bit products may add (half_error). u: unit roundoff of what is multiplied, 2^-11 (f16) or 2^-8 (bf16). Queries are rounded, keys of
// F32 and Q8 pages too, so that score j is off by at most r u t_j, where t_j = scale * sum |q_d k_d| and r = 1 or 2; a weight is rounded once more. It is
// hence w_j (1 + e_j) with |e_j| <= (1 + u) exp(r u t_j) - 1, and since the same rounded weights are summed for the normaliser,
//   O~ - O = sum w_j e_j (v_j - O) / (1 + sum w_j e_j),   |O~ - O| <= sum w_j |e_j| |v_j - O| / (1 - max |e_j|).
// Weights of f16 below 2^-14 are off by up to 2^-25 instead (the largest of a piece is at least 1); values of F32 and Q8 pages are rounded: u sum w_j |v_j|.
AttentionWorld::Expected AttentionWorld::expected(int32_t sequence_index, int32_t position, const PagesRead& pages) const {
  const Sequence& sequence = sequences_[static_cast<size_t>(sequence_index)];
  const auto q_stride = static_cast<size_t>(q_cols());
  Expected result{std::vector<double>(q_stride), std::vector<double>(q_stride)};
  for (size_t head = 0; head < options_.kv_head_of_q.size(); ++head) expect_head(sequence, head, scores_of(sequence, head, position, pages), result);
  return result;
}

AttentionWorld::PageScores AttentionWorld::page_scores(int32_t sequence_index, int32_t head, int32_t position) const {
  const Sequence& sequence = sequences_[static_cast<size_t>(sequence_index)];
  const auto dims = static_cast<size_t>(options_.head_dim), page_tokens = static_cast<size_t>(options_.page_tokens);
  const auto kv_head = static_cast<size_t>(options_.kv_head_of_q[static_cast<size_t>(head)]);
  const Scores of = scores_of(sequence, static_cast<size_t>(head), position, {});
  PageScores result;
  for (size_t begin = 0; begin < of.keys.size(); begin += page_tokens) {
    const size_t end = std::min(begin + page_tokens, of.keys.size());
    result.largest.push_back(*std::max_element(of.scores.begin() + static_cast<int64_t>(begin), of.scores.begin() + static_cast<int64_t>(end)));
    double bound = 0, mass = 0;
    for (size_t d = 0; d < dims; ++d) {
      const double q = sequence.q[static_cast<size_t>(position * q_cols()) + static_cast<size_t>(head) * dims + d];
      double most = -std::numeric_limits<double>::infinity();
      for (size_t j = begin; j < end; ++j) most = std::max(most, q * stored(sequence.k[j * static_cast<size_t>(kv_cols()) + kv_head * dims + d]));
      bound += most;
    }
    for (size_t j = begin; j < end; ++j) mass += std::exp(of.scores[j]);
    result.bound.push_back(bound / std::sqrt(static_cast<double>(dims)));
    result.mass.push_back(mass);
  }
  return result;
}

AttentionWorld::Scores AttentionWorld::scores_of(const Sequence& sequence, size_t head, int32_t position, const PagesRead& pages) const {
  const auto dims = static_cast<size_t>(options_.head_dim);
  const double scale = 1 / std::sqrt(static_cast<double>(dims));
  Scores result;
  for (int32_t j = 0; j <= position; ++j) {
    if (!sees(options_.window, position, j)) continue;
    if (!pages.empty() && !pages[static_cast<size_t>(options_.kv_head_of_q[head])][static_cast<size_t>(j / options_.page_tokens)]) continue;
    const std::vector<float>& queries = options_.sink_queries && j < options_.window.sinks ? sequence.q_sinks : sequence.q;
    const float* q = queries.data() + static_cast<size_t>(position * q_cols()) + head * dims;
    const float* k = sequence.k.data() + static_cast<size_t>(j * kv_cols()) + static_cast<size_t>(options_.kv_head_of_q[head]) * dims;
    double dot = 0, magnitude = 0;
    for (size_t d = 0; d < dims; ++d) {
      const double product = static_cast<double>(q[d]) * stored(k[d]);
      dot += product;
      magnitude += std::abs(product);
    }
    const double score = dot * scale, cap = options_.soft_cap;
    result.keys.push_back(static_cast<size_t>(j));
    result.scores.push_back(cap > 0 ? cap * std::tanh(score / cap) : score);
    result.magnitudes.push_back(magnitude * scale);  // the cap makes no difference larger
  }
  return result;
}

void AttentionWorld::expect_head(const Sequence& sequence, size_t head, const Scores& of, Expected& result) const {
  const std::vector<double>& scores = of.scores;
  const auto dims = static_cast<size_t>(options_.head_dim);
  const auto kv_stride = static_cast<size_t>(kv_cols());
  const double roundoff = options_.format.k == KvType::kBF16 ? 0x1p-8 : 0x1p-11;
  const auto is_rounded = [](KvType type) { return type == KvType::kF32 || is_quantised(type); };  // to what is multiplied
  const double rounded = is_rounded(options_.format.k) ? 2 : 1;  // factors of a score
  const double largest = *std::max_element(scores.begin(), scores.end());
  double total = 0;
  for (const double score : scores) total += std::exp(score - largest);
  const auto value = [&](size_t j, size_t d) { return stored(sequence.v[of.keys[j] * kv_stride + static_cast<size_t>(options_.kv_head_of_q[head]) * dims + d]); };
  // Values that lie turned are rounded there: turned back, a dim's error is at most the roundoff of the length of the dims that are turned with it.
  const auto turn = static_cast<size_t>(is_rotated_value(options_.format.v) ? rotated_dims(options_.head_dim) : 1);
  const auto length = [&](size_t j, size_t first) {
    double squares = 0;
    for (size_t d = first; d < first + turn; ++d) squares += value(j, d) * value(j, d);
    return std::sqrt(squares);
  };
  double* output = result.output.data() + head * dims;
  double* error = result.half_error.data() + head * dims;
  double largest_change = 0;
  for (size_t j = 0; j < scores.size(); ++j) {
    for (size_t d = 0; d < dims; ++d) output[d] += std::exp(scores[j] - largest) / total * value(j, d);
  }
  for (size_t j = 0; j < scores.size(); ++j) {
    const double weight = std::exp(scores[j] - largest) / total;
    const double change = (1 + roundoff) * std::exp(rounded * roundoff * of.magnitudes[j]) - 1;
    largest_change = std::max(largest_change, change);
    double rounded_length = 0;
    for (size_t d = 0; d < dims; ++d) {
      if (is_rounded(options_.format.v) && d % turn == 0) rounded_length = length(j, d);
      error[d] += (weight * change + 0x1p-25) * std::abs(value(j, d) - output[d]) + roundoff * weight * rounded_length;
    }
  }
  for (size_t d = 0; d < dims; ++d) error[d] /= 1 - largest_change;
}

}  // namespace terrace
