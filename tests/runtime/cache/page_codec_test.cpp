// Pages that are stored in another format off the device: what comes back is what the codec makes of what it made, and stamps are of what is stored.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "kernels/cpu/cpu_page_codec.h"
#include "tests/support/runtime/page_pools.h"

namespace terrace {
namespace {

using testing::carry_out;
using testing::evict;
using testing::fetch;
using testing::load;
using testing::spill;
using enum MoveOutcome;

constexpr PageKey kKey = {11, 1}, kOther = {12, 1};

class PageCodecTest : public ::testing::Test {
 protected:
  PageCodecTest() : codec_(pools_.backend().make_page_codec(device_, stored_)) {
    for (uint32_t frame = 0; frame < 2; ++frame) {
      std::vector<std::byte> page(device_.page_stride);
      const auto* begin = reinterpret_cast<uint16_t*>(page.data());
      for (auto* half = const_cast<uint16_t*>(begin); half != begin + page.size() / 2; ++half) *half = static_cast<uint16_t>(random_() % 0x4000 + (random_() % 2 << 15));
      pools_.write(frame, page);
    }
  }
  PageStore::Options options() {
    PageStore::Options options = pools_.options();
    options.codec = codec_.get();
    return options;
  }
  std::vector<std::byte> round_trip(const std::vector<std::byte>& page) {
    std::vector<std::byte> stored(stored_.page_stride), back = page;
    const auto& codec = static_cast<const CpuPageCodec&>(*codec_);
    codec.encode(page.data(), stored.data());
    codec.decode(stored.data(), back.data());
    return back;
  }

  const PageLayout device_ = make_page_layout(KvType::kF16, 16, 1, 2, 64);  // 8,192 bytes
  const PageLayout stored_ = make_page_layout(KvType::kQ8, 16, 1, 2, 64);   // 4,352, rounded up
  testing::PagePools pools_;
  std::mt19937 random_{3};
  std::unique_ptr<PageCodec> codec_;
};

TEST_F(PageCodecTest, PagesComeBackFromTheHostAsTheCodecMakesThem) {
  ASSERT_EQ(device_.page_stride, testing::PagePools::kPageBytes);
  PageStore store(pools_.backend(), options());
  const std::vector<std::byte> page = pools_.read(0);
  EXPECT_EQ(carry_out(store, {evict(0, 0, 3, kKey), evict(1, 1, 4, kOther)}), (std::vector{kDone, kDone}));
  EXPECT_EQ(carry_out(store, {fetch(2, 3, 6, kKey), fetch(3, 4, 7, kOther)}), (std::vector{kDone, kDone}));
  EXPECT_EQ(pools_.read(6), round_trip(page));
  EXPECT_NE(pools_.read(6), page);
  EXPECT_EQ(pools_.read(7), round_trip(pools_.read(1)));
}

TEST_F(PageCodecTest, AFlippedBitOfWhatIsStoredIsFound) {
  PageStore store(pools_.backend(), options());
  carry_out(store, {evict(0, 0, 0, kKey), evict(1, 1, 1, kOther)});
  store.host_page(1)[4000] ^= std::byte{1};
  EXPECT_EQ(carry_out(store, {fetch(2, 0, 2, kKey), fetch(3, 1, 3, kOther)}), (std::vector{kDone, kChecksum}));
}

TEST_F(PageCodecTest, LinksCountTheBytesThatAreStored) {
  PageStore::Options slow = options();
  testing::ManualClock clock;
  slow.clock = &clock;
  slow.link = {.bytes_per_second = static_cast<double>(stored_.page_stride) * 1000};  // 1,000 us a page
  PageStore store(pools_.backend(), slow);
  store.start(std::vector{evict(0, 0, 0, kKey)}, {});
  const std::vector<MoveResult> results = testing::wait_for_results(store);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].bytes, stored_.page_stride);
  EXPECT_GE(results[0].us, 1000);
}

TEST_F(PageCodecTest, AFileOfStoredPagesOutlivesTheStore) {
  const std::string path = std::filesystem::path(::testing::TempDir()) / ("page_codec_test." + std::to_string(getpid()));
  PageStore::Options with_disk = options();
  with_disk.disk = DiskOptions{.path = path, .num_frames = 8, .digest = 42, .page_tokens = 4, .io = "threads"};
  const std::vector<std::byte> page = pools_.read(0);
  {
    PageStore store(pools_.backend(), with_disk);
    carry_out(store, {evict(0, 0, 0, kKey)});
    EXPECT_EQ(carry_out(store, {spill(1, 0, 5, kKey)}, {{kKey, {}, 0, {1, 2, 3, 4}}}), std::vector{kDone});
  }
  PageStore store(pools_.backend(), with_disk);
  std::filesystem::remove(path);
  ASSERT_EQ(store.recovered().size(), 1u);
  EXPECT_EQ(carry_out(store, {load(0, 5, 2, kKey)}), std::vector{kDone});
  EXPECT_EQ(carry_out(store, {fetch(1, 2, 6, kKey)}), std::vector{kDone});
  EXPECT_EQ(pools_.read(6), round_trip(page));
}

}  // namespace
}  // namespace terrace
