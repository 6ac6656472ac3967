// A clock that only the test moves; sleeping moves it too, so that nothing waits.
#pragma once

#include <atomic>

#include "kernels/base/clock.h"

namespace terrace::testing {

class ManualClock : public Clock {
 public:
  int64_t now_us() override { return now_us_; }
  void sleep_us(int64_t us) override { now_us_ += us; }
  void advance_us(int64_t us) { now_us_ += us; }

 private:
  std::atomic<int64_t> now_us_ = 1'000'000;
};

}  // namespace terrace::testing
