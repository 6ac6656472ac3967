// Pages between pools on every backend: what comes back is what went, while ops go on beside the copies.
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/cpu/page_copy.h"
#include "kernels/page_mover.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

constexpr size_t kPageFloats = 2048;
constexpr size_t kPageBytes = kPageFloats * sizeof(float);

class PageMoverTest : public BackendTest {
 protected:
  PageMoverTest()
      : pool_(backend_->allocate(4 * kPageBytes)), mover_(backend_->make_page_mover({.device_base = pool_.data(), .page_bytes = kPageBytes, .num_host_frames = 4})) {}

  MatrixView page(uint32_t frame) { return {reinterpret_cast<float*>(pool_.data() + frame * kPageBytes), 1, kPageFloats, kPageFloats}; }
  void set(uint32_t frame, float value) {
    const std::vector<float> values(kPageFloats, value);
    backend_->write(page(frame).data, std::as_bytes(std::span(values)));
  }
  std::vector<float> get(uint32_t frame) {
    std::vector<float> values(kPageFloats);
    backend_->download(page(frame), values.data());
    return values;
  }
  /// An op: page += other page.
  void add(uint32_t frame, uint32_t other) { backend_->add(page(frame), page(other)); }

  Buffer pool_;
  std::unique_ptr<PageMover> mover_;
};
INSTANTIATE_TEST_SUITE_P(Backends, PageMoverTest, testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(PageMoverTest, AnEvictedPageHasWhatTheOpsBeforeItWrote) {
  set(0, 1.0f);
  set(1, 2.0f);
  add(0, 1);
  const PageMover::Ticket ticket = mover_->evict(std::vector<PageMover::Move>{{0, 3}, {1, 0}});
  mover_->wait(ticket);
  EXPECT_TRUE(mover_->finished(ticket));
  const auto* host = reinterpret_cast<const float*>(mover_->host_page(3));
  EXPECT_EQ(std::vector<float>(host, host + kPageFloats), std::vector<float>(kPageFloats, 3.0f));
}

TEST_P(PageMoverTest, AFrameIsReusedAndItsPageComesBackWithoutTheHostWaiting) {
  set(0, 1.0f);
  set(1, 10.0f);
  for (int round = 0; round < 5; ++round) {
    const PageMover::Ticket evicted = mover_->evict(std::vector<PageMover::Move>{{0, 2}});
    mover_->order_ops_after(evicted);
    add(0, 1);  // the frame holds something else now
    mover_->wait(evicted);
    const PageMover::Ticket fetched = mover_->fetch(std::vector<PageMover::Move>{{2, 2}, {0, 2}});
    mover_->order_ops_after(fetched);
    add(0, 2);  // the page came back twice: doubled
  }
  EXPECT_EQ(get(0), std::vector<float>(kPageFloats, 32.0f));
  EXPECT_EQ(get(2), std::vector<float>(kPageFloats, 16.0f));
}

// Of 4, 64 and 68 blocks of 1,024 bytes: a device makes 64 at a time.
TEST_P(PageMoverTest, EachCopyHasTheChecksumOfWhatItCarried) {
  for (const size_t bytes : {size_t{4096}, size_t{65536}, size_t{69632}}) {
    const Buffer pool = backend_->allocate(3 * bytes), scratch = make_backend("cpu", {})->allocate(bytes);
    const auto mover = backend_->make_page_mover({.device_base = pool.data(), .page_bytes = bytes, .num_host_frames = 2});
    const auto sum = [&](const void* page) { return copy_page_scalar(scratch.data(), static_cast<const std::byte*>(page), bytes); };  // XXH3-64, says PageChecksumTest
    const std::vector<float> first = random_floats(1, static_cast<int64_t>(bytes / sizeof(float))), second = random_floats(2, static_cast<int64_t>(bytes / sizeof(float)));
    backend_->write(pool.data(), std::as_bytes(std::span(first)));
    backend_->write(pool.data() + bytes, std::as_bytes(std::span(second)));
    mover->wait(mover->evict(std::vector<PageMover::Move>{{0, 1}, {1, 0}}));
    EXPECT_EQ(mover->checksum(PageMover::Direction::kEvict, 1), sum(first.data())) << bytes;
    EXPECT_EQ(mover->checksum(PageMover::Direction::kEvict, 0), sum(second.data())) << bytes;
    mover->host_page(1)[bytes - 3] ^= std::byte{1};
    mover->wait(mover->fetch(std::vector<PageMover::Move>{{2, 1}}));
    EXPECT_EQ(mover->checksum(PageMover::Direction::kFetch, 1), sum(mover->host_page(1))) << bytes;
    EXPECT_NE(mover->checksum(PageMover::Direction::kFetch, 1), mover->checksum(PageMover::Direction::kEvict, 1)) << bytes;
  }
}

TEST_P(PageMoverTest, ManyMovesFinishInAnyOrderOfAsking) {
  set(0, 7.0f);
  std::vector<PageMover::Ticket> tickets;
  for (uint32_t i = 0; i < 20; ++i) tickets.push_back(mover_->evict(std::vector<PageMover::Move>{{0, i % 4}}));
  for (size_t i = tickets.size(); i-- > 0;) {
    mover_->wait(tickets[i]);
    EXPECT_TRUE(mover_->finished(tickets[i]));
  }
  EXPECT_TRUE(mover_->finished(mover_->evict({})));
}

TEST_P(PageMoverTest, OpsReadAHostPageWhereItLiesUntilTheHostHasWaitedForThem) {
  ASSERT_TRUE(backend_->reads_host_pages());
  for (int round = 0; round < 4; ++round) {
    set(0, 1.0f);
    set(1, 10.0f);
    mover_->wait(mover_->evict(std::vector<PageMover::Move>{{1, 3}}));
    auto* host = reinterpret_cast<float*>(mover_->host_page(3));
    backend_->add(page(0), {host, 1, kPageFloats, kPageFloats});
    mover_->wait_for_ops();
    std::fill(host, host + kPageFloats, 100.0f);
    EXPECT_EQ(get(0), std::vector<float>(kPageFloats, 11.0f));
  }
}

}  // namespace
}  // namespace terrace
