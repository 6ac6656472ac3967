// When requests of an open loop come: at a rate, without memory. One thread.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace terrace {

/// A Poisson process: gaps between arrivals are independent and exponential with mean 1 / rate, so that requests come in the bursts that many independent
/// users make. The same seed gives the same times everywhere (std::exponential_distribution's are each library's own).
class PoissonArrivals {
 public:
  PoissonArrivals(double per_second, uint64_t seed) : per_second_(per_second), random_(seed) {}

  /// Seconds after the beginning.
  double next() {
    const double share = static_cast<double>(random_() >> 11) * 0x1p-53;  // [0, 1)
    now_ -= std::log1p(-share) / per_second_;
    return now_;
  }

 private:
  double per_second_;
  std::mt19937_64 random_;
  double now_ = 0;
};

}  // namespace terrace
