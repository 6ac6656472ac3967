// The page store over a device's pool: registered for the simulated device (tests/CMakeLists.txt), whose races and missing waits are found.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/runtime/page_pools.h"

namespace terrace {
namespace {

using testing::carry_out;
using testing::evict;
using testing::fetch;
using enum MoveOutcome;

TEST(DevicePageStoreTest, PagesComeBackAndDamageIsFound) {
  if (std::getenv("TERRACE_CUDA_MODULE") == nullptr) GTEST_SKIP() << "no device: TERRACE_CUDA_MODULE names no module";
  testing::PagePools pools("cuda");
  PageStore store(pools.backend(), pools.options());
  const auto first = pools.read(0);
  const auto second = pools.read(1);
  EXPECT_EQ(carry_out(store, {evict(0, 0, 3, {1, 1}), evict(1, 1, 2, {2, 1}), evict(2, 2, 4, {3, 1})}), std::vector(3, kDone));
  pools.write(0, pools.random_page());
  pools.write(1, pools.random_page());
  store.host_page(4)[0] ^= std::byte{1};
  EXPECT_EQ(carry_out(store, {fetch(3, 3, 1, {1, 1}), fetch(4, 2, 0, {2, 1}), fetch(5, 4, 5, {3, 1}), fetch(6, 2, 6, {1, 1})}),
            (std::vector{kDone, kDone, kChecksum, kChecksum}));
  EXPECT_EQ(pools.read(1), first);
  EXPECT_EQ(pools.read(0), second);
}

}  // namespace
}  // namespace terrace
