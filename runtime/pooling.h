// How the hidden states of a text's tokens become one vector, its embedding. Rank 0, step thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace terrace {

enum class Pooling { kMean, kLast };

/// The mean of hidden states, summed one after another in double: the bits depend on the states and their order alone, not on how many came in one step.
class HiddenStateMean {
 public:
  /// `states`: one or more of `width` values each, one after another.
  void add(std::span<const float> states, size_t width) {
    sum_.resize(width);
    for (; !states.empty(); states = states.subspan(width), ++count_) {
      for (size_t i = 0; i < width; ++i) sum_[i] += static_cast<double>(states[i]);
    }
  }
  std::vector<float> mean() const {
    std::vector<float> mean;
    for (const double sum : sum_) mean.push_back(static_cast<float>(sum / static_cast<double>(count_)));
    return mean;
  }
  void clear() {
    sum_.clear();
    count_ = 0;
  }

 private:
  std::vector<double> sum_;
  int64_t count_ = 0;
};

}  // namespace terrace
