// What many measured values come to. Pure.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

namespace terrace {

struct Percentiles {
  size_t count = 0;
  double mean = 0, p50 = 0, p90 = 0, p95 = 0, p99 = 0, max = 0;
};

/// Between two values the percentile lies on the line between them, as numpy and so vLLM's and NVIDIA's tools have it.
inline double percentile_of_sorted(const std::vector<double>& sorted, double share) {
  if (sorted.empty()) return 0;
  const double at = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(at);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], at - std::floor(at));
}

/// All 0 for no values.
inline Percentiles percentiles_of(std::vector<double> values) {
  if (values.empty()) return {};
  std::ranges::sort(values);
  return {.count = values.size(),
          .mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size()),
          .p50 = percentile_of_sorted(values, 0.5),
          .p90 = percentile_of_sorted(values, 0.9),
          .p95 = percentile_of_sorted(values, 0.95),
          .p99 = percentile_of_sorted(values, 0.99),
          .max = values.back()};
}

}  // namespace terrace
