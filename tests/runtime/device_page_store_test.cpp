// The page store over a device's pool: registered for the simulated device (tests/CMakeLists.txt), whose races and missing waits are found.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>

#include "tests/support/runtime/page_pools.h"

namespace terrace {
namespace {

using testing::carry_out;
using testing::evict;
using testing::fetch;
using testing::load;
using testing::spill;
using enum MoveOutcome;

class DevicePageStoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TERRACE_CUDA_MODULE") == nullptr) GTEST_SKIP() << "no device: TERRACE_CUDA_MODULE names no module";
    pools_ = std::make_unique<testing::PagePools>("cuda");
  }
  std::unique_ptr<testing::PagePools> pools_;
};

TEST_F(DevicePageStoreTest, PagesComeBackAndDamageIsFound) {
  testing::PagePools& pools = *pools_;
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
  const auto check = [](uint32_t id, uint32_t host, PageKey key) { return PageMove{id, {Tier::kHost, host}, {Tier::kHost, host}, key}; };
  EXPECT_EQ(carry_out(store, {check(7, 4, {3, 1}), check(8, 3, {1, 1})}), (std::vector{kChecksum, kDone}));  // to be read in place: by the host
}

TEST_F(DevicePageStoreTest, PagesGoToTheDiskAndBackUnderOneStamp) {
  constexpr PageKey kKey = {11, 1};
  PageStore::Options options = pools_->options();
  const std::string path = (std::filesystem::path(::testing::TempDir()) / fmt::format("device_page_store_test.{}.disk", getpid())).string();
  options.disk = DiskOptions{.path = path, .num_frames = 4, .digest = 1, .page_tokens = 1};
  {
    PageStore store(pools_->backend(), options);
    const std::vector<std::byte> page = pools_->read(0);
    EXPECT_EQ(carry_out(store, {evict(0, 0, 0, kKey)}), std::vector{kDone});
    EXPECT_EQ(carry_out(store, {spill(1, 0, 2, kKey)}, {{kKey, {}, 0, {7}}}), std::vector{kDone});
    EXPECT_EQ(carry_out(store, {load(2, 2, 1, kKey)}), std::vector{kDone});
    EXPECT_EQ(carry_out(store, {fetch(3, 1, 5, kKey)}), std::vector{kDone});
    EXPECT_EQ(pools_->read(5), page);
  }
  std::filesystem::remove(path);
}

}  // namespace
}  // namespace terrace
