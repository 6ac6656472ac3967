// The host tier of the page store: what comes back is what went, or is reported as lost.
#include "runtime/cache/page_store.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"
#include "tests/support/runtime/loading_backend.h"
#include "tests/support/runtime/page_pools.h"

namespace terrace {
namespace {

using testing::carry_out;
using testing::evict;
using testing::fetch;
using enum MoveOutcome;

constexpr PageKey kKeys[] = {{11, 1}, {12, 1}, {13, 1}, {14, 1}, {15, 1}, {16, 1}, {17, 1}, {18, 1}};

TEST(PageStoreTest, PagesComeBackFromTheHostTier) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  std::vector<PageMove> out, back;
  std::vector<std::vector<std::byte>> pages;
  for (uint32_t i = 0; i < 8; ++i) {
    pages.push_back(pools.read(i));
    out.push_back(evict(i, i, 7 - i, kKeys[i]));
    back.push_back(fetch(8 + i, 7 - i, (i + 3) % 8, kKeys[i]));
  }
  EXPECT_EQ(carry_out(store, out), std::vector<MoveOutcome>(8, kDone));
  for (uint32_t i = 0; i < 8; ++i) pools.write(i, pools.random_page());
  EXPECT_EQ(carry_out(store, back), std::vector<MoveOutcome>(8, kDone));
  for (uint32_t i = 0; i < 8; ++i) EXPECT_EQ(pools.read((i + 3) % 8), pages[i]);
  EXPECT_TRUE(store.poll(true).empty());  // nothing is under way: it does not wait
}

TEST(PageStoreTest, AFlippedBitIsFoundByTheNextReader) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  carry_out(store, {evict(0, 0, 0, kKeys[0]), evict(1, 1, 1, kKeys[1])});
  store.host_page(0)[8000] ^= std::byte{16};
  EXPECT_EQ(carry_out(store, {fetch(2, 0, 2, kKeys[0]), fetch(3, 1, 3, kKeys[1])}), (std::vector{kChecksum, kDone}));
  EXPECT_EQ(carry_out(store, {fetch(4, 0, 2, kKeys[0])}), std::vector{kChecksum});  // and stays so
}

TEST(PageStoreTest, SwappedFramesAndWrongKeysAreFound) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  carry_out(store, {evict(0, 0, 0, kKeys[0]), evict(1, 1, 1, kKeys[1])});
  EXPECT_EQ(carry_out(store, {fetch(2, 1, 2, kKeys[0])}), std::vector{kChecksum});  // another page's frame
  std::swap_ranges(store.host_page(0), store.host_page(1), store.host_page(1));
  EXPECT_EQ(carry_out(store, {fetch(3, 0, 2, kKeys[0]), fetch(4, 1, 3, kKeys[1])}), (std::vector{kChecksum, kChecksum}));
}

TEST(PageStoreTest, APageIsVerifiedWhereItLies) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  const auto check = [](uint32_t id, uint32_t host, PageKey key) { return PageMove{id, {Tier::kHost, host}, {Tier::kHost, host}, key}; };
  carry_out(store, {evict(0, 0, 0, kKeys[0]), evict(1, 1, 1, kKeys[1])});
  store.host_page(1)[17] ^= std::byte{2};
  EXPECT_EQ(carry_out(store, {check(2, 0, kKeys[0]), check(3, 1, kKeys[1]), check(4, 0, kKeys[1]), check(5, 2, kKeys[2])}),
            (std::vector{kDone, kChecksum, kChecksum, kChecksum}));
  EXPECT_EQ(carry_out(store, {fetch(6, 0, 2, kKeys[0])}), std::vector{kDone});
}

TEST(PageStoreTest, AFrameThatHoldsNoPageYieldsNone) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  EXPECT_EQ(carry_out(store, {fetch(0, 5, 0, kKeys[0])}), std::vector{kChecksum});
}

TEST(PageStoreTest, ResultsTellTimeAndBytesOverAModelledLink) {
  testing::PagePools pools;
  testing::ManualClock clock;
  PageStore::Options options = pools.options();
  options.link = {.bytes_per_second = pools.kPageBytes * 1e6 / 1000, .latency_us = 500};  // 1,000 us a page
  options.clock = &clock;
  PageStore store(pools.backend(), options);
  store.start(std::vector{evict(7, 0, 0, kKeys[0])}, {});
  EXPECT_TRUE(store.poll(false).empty());
  EXPECT_EQ(store.num_under_way(), 1u);
  const std::vector<MoveResult> results = testing::wait_for_results(store);
  ASSERT_EQ(results.size(), 1u);
  EXPECT_EQ(results[0].id, 7u);
  EXPECT_EQ(results[0].bytes, pools.kPageBytes);
  EXPECT_GE(results[0].us, 1500);
  EXPECT_EQ(store.num_under_way(), 0u);
}

// A mover whose copies end when the test says.
class ScriptedMover : public PageMover {
 public:
  explicit ScriptedMover(std::vector<int64_t> ends_us) : ends_us_(std::move(ends_us)) {}
  Ticket evict(std::span<const Move>) override { return ++last_; }
  Ticket fetch(std::span<const Move>) override { return ++last_; }
  std::optional<int64_t> finished_us(Ticket ticket) override { return ends_us_.at(ticket - 1); }
  void wait(Ticket) override {}
  void order_ops_after(Ticket) override {}
  std::byte* host_page(uint32_t) override { return nullptr; }
  uint64_t checksum(Direction, uint32_t) override { return 0; }

 private:
  std::vector<int64_t> ends_us_;  // by ticket
  Ticket last_ = 0;
};

class ScriptedBackend : public LoadingBackend {
 public:
  explicit ScriptedBackend(std::vector<int64_t> ends_us) : ends_us_(std::move(ends_us)) {}
  std::unique_ptr<PageMover> make_page_mover(const PageMoverOptions&) override { return std::make_unique<ScriptedMover>(ends_us_); }

 private:
  std::vector<int64_t> ends_us_;
};

TEST(PageStoreTest, MovesTellHowLongTheirLinkWasBusyWithThemHoweverLateOneLooks) {
  testing::ManualClock clock;
  const int64_t began_us = clock.now_us();
  ScriptedBackend backend({began_us + 1000, began_us + 1600, began_us + 2600});
  PageStore store(backend, {.page_bytes = 4096, .num_device_frames = 8, .num_host_frames = 8, .clock = &clock});
  std::vector<PageMove> moves;
  for (uint32_t i = 0; i < 6; ++i) moves.push_back(evict(i, i, i, kKeys[i]));  // tickets of 4 and 2
  store.start(moves, {});
  clock.advance_us(2000);
  store.start(std::vector{evict(6, 6, 6, kKeys[6])}, {});
  clock.advance_us(70'000);  // a step
  const std::vector<MoveResult> results = store.poll(false);
  ASSERT_EQ(results.size(), 7u);
  const int64_t us[] = {250, 500, 750, 1000, 1300, 1600, 600};
  const int64_t busy_us[] = {250, 250, 250, 250, 300, 300, 600};
  for (size_t i = 0; i < 7; ++i) {
    EXPECT_EQ(results[i].us, us[i]) << i;
    EXPECT_EQ(results[i].busy_us, busy_us[i]) << i;
  }
}

TEST(PageStoreTest, AMoveThatCannotBeIsAnError) {
  testing::PagePools pools;
  PageStore store(pools.backend(), pools.options());
  for (const PageMove& move : {evict(0, 8, 0, kKeys[0]), evict(0, 0, 8, kKeys[0]), fetch(0, 99, 0, kKeys[0]),
                               PageMove{0, {Tier::kDevice, 0}, {Tier::kDevice, 1}, kKeys[0]},
                               PageMove{0, {Tier::kHost, 0}, {Tier::kDisk, 0}, kKeys[0]},
                               PageMove{0, {static_cast<Tier>(7), 0}, {Tier::kHost, 0}, kKeys[0]}}) {
    EXPECT_THROW(store.start(std::vector{move}, {}), Error);
  }
}

}  // namespace
}  // namespace terrace
