// Which slice of which tensor a rank holds: the names of a Llama-family GGUF, and the geometry of its shard. Pure arithmetic,
// any thread; what loading, the memory planner and the report of `inspect` agree on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/model_config.h"
#include "runtime/model/shard.h"

namespace terrace {

enum class WeightRole { kQ, kK, kV, kO, kGate, kUp, kDown, kHead };

/// This rank's part of one linear layer. Either the rows (output features) or the columns (input features) are cut.
struct MatrixSlice {
  WeightRole role = WeightRole::kQ;
  int32_t layer = 0;       // 0 for the head
  int64_t total_rows = 0;  // of the whole tensor
  int64_t total_cols = 0;
  Range rows;
  Range cols;

  /// The whole tensor's name without ".weight" or ".bias": "blk.3.attn_q", "output", or "token_embd" for a tied head.
  std::string tensor;
  bool cuts_columns() const { return role == WeightRole::kO || role == WeightRole::kDown; }
  /// In the file's format; for super-blocks cut in two, their exact share.
  size_t bytes(DType dtype) const;
};

/// All linear layers of a shard in the order of use: q k v o gate up down of each layer, then the head.
std::vector<MatrixSlice> list_slices(const ModelConfig& model, const Shard& shard);

/// "blk.3.attn_norm.weight".
std::string norm_name(int32_t layer, std::string_view norm);
/// Floats of all norms.
int64_t norm_floats(const ModelConfig& model);
inline constexpr std::string_view kOutputNormName = "output_norm.weight";
inline constexpr std::string_view kEmbeddingName = "token_embd.weight";

}  // namespace terrace
