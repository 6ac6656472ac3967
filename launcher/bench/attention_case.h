// One layer's attention at any geometry, through the Backend seam: pages of random keys and values in frames without order, as in a pool that
// has served for a while, and random queries. Rank 0's step thread; one case at a time on a backend.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/backend.h"

namespace terrace {

class AttentionCase {
 public:
  struct Geometry {
    int32_t num_q_heads = 1;
    int32_t num_kv_heads = 1;  // divides num_q_heads
    int32_t head_dim = 64;
    int32_t num_layers = 1;
    int32_t num_sequences = 1;
    int32_t depth = 0;       // keys of a sequence's last query
    int32_t num_tokens = 1;  // queries of each: the last positions
    int32_t page_tokens = 16;
    KvFormat format = {};
    SparseReading sparse = {};  // of all queries
  };
  /// `backend` outlives the case.
  AttentionCase(Backend& backend, const Geometry& geometry);

  /// One layer, planned with the first. Layers take turns, so that keys and values come from memory as in a model.
  void run();
  /// [num_sequences * num_tokens, num_q_heads * head_dim]
  MatrixView q() const { return args_.q; }
  MatrixView out() const { return args_.out; }
  const KvPool& kv() const { return pool_; }
  const std::vector<uint32_t>& frames() const { return frames_; }  // all pages of a sequence, then those of the next

 private:
  Backend& backend_;
  KvPool pool_;
  Buffer memory_, q_memory_, out_memory_;
  std::vector<uint32_t> frames_;
  std::vector<int32_t> positions_;
  std::vector<AttentionRun> runs_;
  std::vector<int32_t> kv_head_of_q_;
  AttentionArgs args_;
};

/// The same values whenever asked: `count` floats in [-1, 1).
void fill_random(float* values, size_t count, uint32_t seed);

}  // namespace terrace
