#include "kernels/base/clock.h"

#include <chrono>
#include <thread>

namespace terrace {
namespace {

class SteadyClock : public Clock {
 public:
  int64_t now_us() override {
    const auto since_start = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration_cast<std::chrono::microseconds>(since_start).count();
  }
  void sleep_us(int64_t us) override { std::this_thread::sleep_for(std::chrono::microseconds(us)); }
};

}  // namespace

Clock& steady_clock() {
  static SteadyClock clock;  // stateless
  return clock;
}

}  // namespace terrace
