#include "kernels/cpu/weight_arena.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/base/error.h"

namespace terrace {
namespace {

TEST(WeightArenaTest, GivesZeroedAlignedMemoryOfItsOwnToEach) {
  WeightArena arena;
  std::vector<std::shared_ptr<uint8_t>> parts;
  const std::vector<size_t> sizes = {1, 100, 4096, 3 << 20, 70 << 20, 64, 0, 5};  // one is larger than a chunk
  for (const size_t size : sizes) {
    parts.push_back(arena.allocate(size));
    EXPECT_EQ(reinterpret_cast<uintptr_t>(parts.back().get()) % 64, 0u);
    EXPECT_TRUE(std::all_of(parts.back().get(), parts.back().get() + std::min<size_t>(size, 8192), [](uint8_t byte) { return byte == 0; }));
    std::fill_n(parts.back().get(), std::min<size_t>(size, 8192), static_cast<uint8_t>(parts.size()));
  }
  for (size_t i = 0; i < parts.size(); ++i) {
    for (size_t at = 0; at < std::min<size_t>(sizes[i], 8192); ++at) ASSERT_EQ(parts[i].get()[at], i + 1);
  }
}

TEST(WeightArenaTest, MemoryOutlivesTheArena) {
  std::shared_ptr<uint8_t> memory;
  {
    WeightArena arena;
    memory = arena.allocate(1000);
  }
  memory.get()[999] = 7;
  EXPECT_EQ(memory.get()[999], 7);
}

TEST(WeightArenaTest, RefusesWhatTheMachineDoesNotHave) {
  WeightArena arena;
  EXPECT_THROW(arena.allocate(size_t{1} << 60), Error);
}

}  // namespace
}  // namespace terrace
