// Cosines and sines of a step's positions, computed once a step and used by every layer. Owned by the CPU backend,
// filled and read from its step thread (workers read it inside an op).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace terrace {

class RopeTable {
 public:
  /// For one token: [rotary_dim] factors of a dim itself and of its partner, the sign included.
  struct Row {
    const float* cos;
    const float* sin;
  };

  /// A new step: positions stay valid until the next call.
  void begin_step(std::span<const int32_t> positions);
  /// Makes the current table the one of these frequencies; computed at the first call in a step.
  void select(const RopeKvArgs& args);
  /// Of the selected table.
  Row row(int64_t token) const;
  /// Likewise, for the position at which the token's query stands to the sinks.
  Row sink_row(int64_t token) const;

 private:
  struct Table {
    std::vector<float> inverse_frequency;
    float attention_factor = 1;
    RopeStyle style = RopeStyle::kAdjacentPairs;
    AttentionWindow window;
    bool exact_angles = false;
    bool filled = false;        // for this step
    std::vector<float> values;  // [num_tokens + 1][cos, sin][rotary_dim]; the last is where queries beyond the first gap stand to the sinks
  };
  void fill(Table& table) const;
  static void fill_row(const Table& table, int32_t position, float* cos);
  Row row_at(size_t index) const;

  std::span<const int32_t> positions_;
  std::vector<Table> tables_;  // one per distinct set of frequencies in the model
  size_t selected_ = 0;
};

}  // namespace terrace
