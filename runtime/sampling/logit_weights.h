// The weights of a row of logits at a temperature: exp((logit - largest) / temperature), their sum, and a draw among them. Plain float
// arithmetic in one fixed order, so the same bits on every machine; written so that compilers make vector code of the loops. One row each.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace terrace {

struct WeightScale {
  WeightScale(float largest_logit, float temperature);
  /// In [0, 1], to about 2 ulp; 0 below exp(-87). `logit` is not above the largest.
  float weight(float logit) const;

  float largest;
  float inverse_temperature;
};

class LogitWeights {
 public:
  LogitWeights(std::span<const float> logits, const WeightScale& scale);

  std::span<const float> values() const { return {values_.get(), count_}; }
  double total() const { return total_; }
  /// The token at `share` (in [0, 1)) of the total, counted in order of tokens.
  int32_t draw(double share) const;

 private:
  std::unique_ptr<float[]> values_;
  size_t count_;
  std::vector<double> chunk_sums_;
  double total_ = 0;
};

}  // namespace terrace
