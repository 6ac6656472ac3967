// What the CPU's page mover adds: a modelled link, copies alike on every ISA, a host pool that is given, an end while copies wait.
#include "kernels/cpu/cpu_page_mover.h"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

#include "tests/support/kernels/manual_clock.h"

namespace terrace {
namespace {

constexpr size_t kPageBytes = 12288;
constexpr uint32_t kFrames = 8;
using Moves = std::vector<PageMover::Move>;

class CpuPageMoverTest : public ::testing::Test {
 protected:
  CpuPageMoverTest() {
    std::mt19937 random(1);
    for (size_t i = 0; i < 2 * kFrames * kPageBytes; ++i) base()[i] = static_cast<std::byte>(random());
  }
  std::byte* base() { return reinterpret_cast<std::byte*>(pool_.data()); }
  std::byte* device(uint32_t frame) { return base() + frame * kPageBytes; }
  uint64_t sum(const std::byte* page, size_t bytes = kPageBytes) {
    return copy_page_scalar(device(7), page, bytes);  // which is XXH3-64, says PageChecksumTest
  }
  std::unique_ptr<CpuPageMover> make(PageLink link = {}) {
    return std::make_unique<CpuPageMover>(
        PageMoverOptions{.device_base = base(), .page_bytes = kPageBytes, .num_host_frames = kFrames, .host_base = base() + kFrames * kPageBytes, .link = link, .clock = &clock_}, Buffer(),
        choose_copy_page(detect_isa()));
  }

  struct alignas(64) Line {
    std::byte bytes[64];
  };
  std::vector<Line> pool_ = std::vector<Line>(2 * kFrames * kPageBytes / 64);
  testing::ManualClock clock_;
};

TEST_F(CpuPageMoverTest, TheHostPoolLiesWhereItIsGiven) {
  auto mover = make();
  mover->wait(mover->evict(Moves{{2, 5}}));
  EXPECT_EQ(mover->host_page(5), device(kFrames + 5));
  EXPECT_EQ(std::memcmp(device(kFrames + 5), device(2), kPageBytes), 0);
}

TEST_F(CpuPageMoverTest, EveryIsaCopiesAndSumsAlike) {
  for (const size_t bytes : {size_t{64}, size_t{4096}, size_t{4160}, kPageBytes}) {
    const uint64_t expected = copy_page_scalar(device(3), device(0), bytes);
    EXPECT_EQ(std::memcmp(device(3), device(0), bytes), 0);
    if (detect_isa() >= Isa::kAvx2) {
      EXPECT_EQ(copy_page_avx2(device(4), device(0), bytes), expected);
      EXPECT_EQ(std::memcmp(device(4), device(0), bytes), 0);
    }
  }
}

TEST_F(CpuPageMoverTest, ALinkFinishesCopiesNoEarlierThanItsQueueAllows) {
  const int64_t page_us = 100;
  auto mover = make({.bytes_per_second = kPageBytes * 1e6 / page_us, .latency_us = 30});
  const auto first = mover->evict(Moves{{0, 0}, {1, 1}});
  const auto second = mover->evict(Moves{{2, 2}});
  const auto other_way = mover->fetch(Moves{{3, 3}});
  clock_.advance_us(129);
  EXPECT_FALSE(mover->finished(other_way));
  clock_.advance_us(1);
  mover->wait(other_way);  // its time has come: waits for the copy only
  EXPECT_FALSE(mover->finished(first));
  const int64_t before_us = clock_.now_us();
  mover->wait(first);
  EXPECT_EQ(clock_.now_us() - before_us, 100);  // 2 pages + latency = 230
  EXPECT_FALSE(mover->finished(second));
  mover->wait(second);
  EXPECT_EQ(clock_.now_us() - before_us, 200);
}

TEST_F(CpuPageMoverTest, AnIdleLinkDoesNotSaveUp) {
  auto mover = make({.bytes_per_second = kPageBytes * 1e6 / 100});
  clock_.advance_us(1'000'000);
  const int64_t before_us = clock_.now_us();
  mover->wait(mover->fetch(Moves{{0, 0}}));
  EXPECT_EQ(clock_.now_us() - before_us, 100);
}

TEST_F(CpuPageMoverTest, TheTimeOfAnEndDoesNotDependOnWhenItIsAskedFor) {
  auto mover = make({.bytes_per_second = kPageBytes * 1e6 / 100, .latency_us = 30});
  const int64_t started_us = clock_.now_us();
  const auto first = mover->evict(Moves{{0, 0}, {1, 1}});
  const auto second = mover->evict(Moves{{2, 2}});
  EXPECT_EQ(mover->finished_us(second), std::nullopt);
  mover->wait(mover->evict(Moves{{3, 3}}));  // both are copied before this one is, in order
  clock_.advance_us(1'000'000);
  EXPECT_EQ(mover->finished_us(second), started_us + 330);
  EXPECT_EQ(mover->finished_us(first), started_us + 230);
}

TEST_F(CpuPageMoverTest, EndsWhileCopiesWait) {
  auto mover = make({.bytes_per_second = 1});
  for (int i = 0; i < 200; ++i) {
    mover->evict(Moves(kFrames, {0, 1}));
    mover->fetch(Moves(kFrames, {2, 3}));
  }
  mover.reset();
}

}  // namespace
}  // namespace terrace
