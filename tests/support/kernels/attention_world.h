// A KV pool with sequences in it, for tests of attention: random queries, keys and values per sequence and position,
// pages dealt in random order, and every byte that no token has written set to NaN, as are pages once they are out of every window,
// whose frame numbers are then useless. Runs steps of any composition on a
// backend and keeps the outputs; knows the answer in double.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "kernels/backend.h"

namespace terrace {

struct AttentionWorldOptions {
  std::vector<int32_t> lengths;  // of the sequences
  std::vector<int32_t> kv_head_of_q = {0, 0, 0, 1, 1, 1, 2, 2, 2};
  int32_t num_kv_heads = 3;
  int32_t head_dim = 64;
  int32_t page_tokens = 16;
  KvFormat format;
  uint64_t seed = 1;
  float q_deviation = 2.0f;  // of the random queries; of keys:
  float k_deviation = 1.0f;
  float soft_cap = 0;
  AttentionWindow window = {};
  bool sink_queries = false;  // queries multiply the sinks' keys with others, random too; not with quantised keys
  int32_t group = 0;  // the layer is of; page tables of the groups before it name the wrong frames
  std::vector<AttentionWindow> other_windows = {};  // of other layers, whose attention runs in each step too
  SparseReading sparse = {};  // of tokens from this position on; pages then have summaries:
  int32_t sparse_from = 0;
  bool alike_keys = false;    // keys of a page are near one another, so that their bounds tell pages apart
  std::function<void(const AttentionArgs&, const StepBatch&)> before_attention = {};  // of each step
  int32_t nan_from = -1;  // K and V of each sequence are NaN from this position on; < 0: nowhere
};

class AttentionWorld {
 public:
  /// The next `num_tokens` tokens of a sequence.
  struct Row {
    int32_t sequence;
    int32_t num_tokens;
  };

  AttentionWorld(Backend& backend, const AttentionWorldOptions& options);

  void step(const std::vector<Row>& rows);
  /// The rest of one sequence, in chunks, alone.
  void finish(int32_t sequence, int32_t chunk);
  /// Of the tokens run so far, [length, num_q_heads * head_dim].
  const std::vector<float>& output(int32_t sequence) const { return sequences_[static_cast<size_t>(sequence)].output; }
  struct Expected {
    std::vector<double> output;      // [num_q_heads * head_dim], in double, from K and V as the pages hold them
    std::vector<double> half_error;  // likewise: how far 16-bit products may be off, see expected()
  };
  Expected expected(int32_t sequence, int32_t position) const { return expected(sequence, position, {}); }
  /// As if the query heads of KV head h read only the pages p of which pages[h][p] is set; empty: all.
  using PagesRead = std::vector<std::vector<bool>>;
  Expected expected(int32_t sequence, int32_t position, const PagesRead& pages) const;
  /// Of a query head over each page up to that of the position: the largest score, what no score can exceed, and the sum of the scores' exponentials.
  struct PageScores {
    std::vector<double> largest, bound, mass;
  };
  PageScores page_scores(int32_t sequence, int32_t head, int32_t position) const;
  const KvPool& kv() const { return pool_; }
  const std::vector<uint32_t>& frames(int32_t sequence) const { return sequences_[static_cast<size_t>(sequence)].frames; }

 private:
  struct Sequence {
    std::vector<float> q, k, v;  // [length, heads * head_dim]
    std::vector<float> q_sinks;  // like q, or empty
    std::vector<uint32_t> frames;  // kLost: out of every window
    int32_t done = 0;
    std::vector<float> output;
  };
  int64_t q_cols() const { return static_cast<int64_t>(options_.kv_head_of_q.size()) * options_.head_dim; }
  int64_t kv_cols() const { return static_cast<int64_t>(options_.num_kv_heads) * options_.head_dim; }
  float stored(float value) const;
  /// Where rows are quantised: replaces K and V of the step's tokens by what pages hold of them.
  void keep_stored(Sequence& sequence, int32_t num_tokens);
  /// Spoils the pages of which no query from the sequence's next on sees anything.
  void lose_pages(Sequence& sequence);
  struct Scores {
    std::vector<size_t> keys;
    std::vector<double> scores, magnitudes;  // of the keys; sums of the magnitudes that scores are sums of
  };
  Scores scores_of(const Sequence& sequence, size_t head, int32_t position, const PagesRead& pages) const;
  /// Adds one head's part.
  void expect_head(const Sequence& sequence, size_t head, const Scores& of, Expected& result) const;

  Backend& backend_;
  AttentionWorldOptions options_;
  KvPool pool_;
  Buffer memory_;
  std::vector<Sequence> sequences_;
};

}  // namespace terrace
