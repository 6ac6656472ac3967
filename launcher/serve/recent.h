// The last minute: values for percentiles, and how often something happened. Not locked; time is the caller's.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace terrace {

constexpr int64_t kRecentUs = 60'000'000;

/// The newest values of the last minute, at most kMost.
class RecentValues {
 public:
  void add(double value, int64_t now_us) {
    if (values_.size() < kMost) {
      values_.push_back({now_us, value});
    } else {
      values_[next_] = {now_us, value};
      next_ = (next_ + 1) % kMost;
    }
  }
  /// The value that a share `p` of them does not exceed; 0 where there are none.
  double percentile(double p, int64_t now_us) const {
    std::vector<double> recent;
    for (const auto& [at_us, value] : values_) {
      if (now_us - at_us <= kRecentUs) recent.push_back(value);
    }
    if (recent.empty()) return 0;
    const auto rank = static_cast<ptrdiff_t>(p * static_cast<double>(recent.size() - 1));
    std::ranges::nth_element(recent, recent.begin() + rank);
    return recent[static_cast<size_t>(rank)];
  }

 private:
  static constexpr size_t kMost = 4096;
  struct Value {
    int64_t at_us;
    double value;
  };
  std::vector<Value> values_;
  size_t next_ = 0;
};

/// Events a second, counted by whole seconds over the last minute.
class RecentRate {
 public:
  void add(int64_t count, int64_t now_us) {
    Second& second = seconds_[slot(now_us)];
    if (second.number != now_us / 1'000'000) second = {now_us / 1'000'000, 0};
    second.count += count;
    if (first_us_ == 0) first_us_ = now_us;
  }
  /// Over the last `window_us`, or since the first event where that is shorter.
  double per_second(int64_t now_us, int64_t window_us = kRecentUs) const {
    int64_t count = 0;
    for (const Second& second : seconds_) {
      if (second.count > 0 && now_us - second.number * 1'000'000 <= window_us) count += second.count;
    }
    const int64_t span = std::clamp<int64_t>(now_us - first_us_, 1'000'000, window_us);
    return static_cast<double>(count) * 1e6 / static_cast<double>(span);
  }

 private:
  static constexpr size_t kSeconds = 64;
  static size_t slot(int64_t now_us) { return static_cast<size_t>(now_us / 1'000'000) % kSeconds; }
  struct Second {
    int64_t number = -1;
    int64_t count = 0;
  };
  std::array<Second, kSeconds> seconds_ = {};
  int64_t first_us_ = 0;
};

}  // namespace terrace
