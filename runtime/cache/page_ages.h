// How many cached pages of one tier sequences hold, and when the others were let go: for people who watch. Seconds are the caller's, never go back, and
// nothing is decided by them. Step thread only; adding and taking out cost the same for any number of pages.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/cache/prefix_index.h"

namespace terrace {

/// Upper bounds, in seconds since a page was let go; those that are older come last.
inline constexpr std::array<int32_t, 4> kPageAgeBounds = {10, 60, 600, 3600};

struct PageAgeCounts {
  int32_t held = 0;
  std::array<int32_t, kPageAgeBounds.size() + 1> idle = {};
  bool operator==(const PageAgeCounts&) const = default;
};

class PageAges {
 public:
  void tick(int64_t second) {
    while (now_ < second) {  // what leaves the last hour is old from now on
      if (second - now_ > kSeconds) now_ = second - kSeconds;
      int32_t& slot = by_second_[slot_of(++now_)];
      old_ += slot;
      slot = 0;
    }
  }
  void add(const CachedPage& page) { ++count_of(page); }
  void take_out(const CachedPage& page) { --count_of(page); }

  PageAgeCounts counts() const {
    PageAgeCounts counts;
    counts.held = held_;
    counts.idle.back() = old_;
    size_t bucket = 0;
    for (int32_t age = 0; age < kSeconds; ++age) {
      if (age == kPageAgeBounds[bucket]) ++bucket;
      counts.idle[bucket] += by_second_[slot_of(now_ - age)];
    }
    return counts;
  }

 private:
  static constexpr int32_t kSeconds = kPageAgeBounds.back();
  static size_t slot_of(int64_t second) { return static_cast<size_t>((second % kSeconds + kSeconds) % kSeconds); }
  int32_t& count_of(const CachedPage& page) {
    if (page.holds > 0) return held_;
    return page.let_go_second > now_ - kSeconds ? by_second_[slot_of(page.let_go_second)] : old_;
  }

  std::vector<int32_t> by_second_ = std::vector<int32_t>(kSeconds);  // let go in that second of the last hour
  int64_t now_ = 0;
  int32_t held_ = 0;
  int32_t old_ = 0;
};

}  // namespace terrace
