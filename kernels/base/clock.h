// The time that waits and models go by: the machine's own, or one that a test moves by hand. Any thread.
#pragma once

#include <cstdint>

namespace terrace {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual int64_t now_us() = 0;  // never goes back
  virtual void sleep_us(int64_t us) = 0;
};

/// The machine's monotonic clock.
Clock& steady_clock();

}  // namespace terrace
