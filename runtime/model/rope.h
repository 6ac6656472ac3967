// Resolves the many ways to stretch a rotary embedding into one frequency per pair. Pure functions, any thread.
// Sources: linear, Chen et al. 2023, arXiv:2306.15595; yarn, Peng et al. 2023, arXiv:2309.00071; llama3, Meta's Llama 3.1 model code
// (GGUF carries it as factors per pair in the tensor rope_freqs.weight).
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/model/model_config.h"

namespace terrace {

/// A recipe for the frequencies. Factor 1 and no pair factors: plain rope.
struct RopeScaling {
  enum class Kind { kNone, kLinear, kYarn };
  Kind kind = Kind::kNone;
  double factor = 1;                 // context is stretched by this, > 0
  int64_t original_context = 0;      // yarn: positions of the training before it was stretched
  double beta_fast = 32;             // yarn: pairs that turn more often in original_context are left alone
  double beta_slow = 1;              // yarn: pairs that turn less often are interpolated
  double extrapolation = 1;          // yarn: 0 = interpolate every pair
  double attention_factor = 1;       // multiplies yarn's own
  double log_multiplier = 0;         // yarn: "mscale_all_dim", 0 = none
  std::vector<float> pair_factors;   // [rotary_dim / 2] divide the frequencies (llama3), or empty
};

RopeConfig make_rope_config(RopeStyle style, int32_t rotary_dim, double base, const RopeScaling& scaling);

}  // namespace terrace
