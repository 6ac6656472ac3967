// Pages stored in 8 bits off the device, on every backend: what is stored, what comes back and its checksums are the CPU codec's, bit by bit.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cpu/cpu_page_codec.h"
#include "kernels/cpu/page_copy.h"
#include "kernels/page_mover.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_page.h"

namespace terrace {
namespace {

constexpr uint32_t kPages = 11;  // more than a device stages at a time

using Page = std::vector<std::byte>;

class PageMoverCodecTest : public BackendTest {
 protected:
  /// Writes random pages to the frames [0, kPages) of a pool of twice as many, sends them to the host in one call and back to the other frames.
  void check(KvFormat format, int head_dim) {
    SCOPED_TRACE(fmt::format("{}, heads of {}", kv_format_name(format), head_dim));
    const PageLayout device = make_page_layout(format, 4, 2, 3, head_dim), stored = make_page_layout(KvType::kQ8, 4, 2, 3, head_dim);
    const Buffer pool = backend_->allocate(2 * kPages * device.page_stride);
    const auto codec = backend_->make_page_codec(device, stored);
    const auto mover = backend_->make_page_mover({.device_base = pool.data(), .page_bytes = device.page_stride, .codec = codec.get(), .num_host_frames = kPages});
    std::vector<Page> pages(kPages, Page(device.page_stride));
    std::vector<PageMover::Move> out, back;
    const Page untouched(device.page_stride, std::byte{0x33});
    for (uint32_t i = 0; i < kPages; ++i) {
      fill_random_rows(device, i, pages[i].data());
      backend_->write(pool.data() + i * device.page_stride, pages[i]);
      backend_->write(pool.data() + (kPages + i) * device.page_stride, untouched);
      out.push_back({i, kPages - 1 - i});
      back.push_back({kPages + i, kPages - 1 - i});
    }
    mover->wait(mover->evict(out));
    mover->order_ops_after(mover->fetch(back));

    const CpuPageCodec expected(device, stored, kScalarRowOps);
    for (uint32_t i = 0; i < kPages; ++i) {
      const uint32_t host = kPages - 1 - i;
      Page small(stored.page_stride), scratch(stored.page_stride), returned = untouched, found(device.page_stride);
      expected.encode(pages[i].data(), small.data());
      ASSERT_TRUE(std::ranges::equal(small, std::span(mover->host_page(host), small.size()))) << "page " << i;
      EXPECT_EQ(mover->checksum(PageMover::Direction::kEvict, host), copy_page_scalar(scratch.data(), small.data(), small.size())) << "page " << i;
      expected.decode(small.data(), returned.data());
      backend_->read(pool.data() + (kPages + i) * device.page_stride, found);
      ASSERT_EQ(found, returned) << "page " << i;
      EXPECT_EQ(mover->checksum(PageMover::Direction::kFetch, host), mover->checksum(PageMover::Direction::kEvict, host)) << "page " << i;
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, PageMoverCodecTest, testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(PageMoverCodecTest, StoresAndYieldsTheBytesOfTheCpusCodec) {
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kBF16), KvFormat(KvType::kF32), KvFormat(KvType::kQ8, KvType::kF16)}) {
    for (const int head_dim : {64, 20}) check(format, head_dim);
  }
}

TEST_P(PageMoverCodecTest, RowsOfFewerBitsAreRefused) {
  for (const KvFormat format : {KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    EXPECT_THROW(backend_->make_page_codec(make_page_layout(format, 4, 2, 3, 64), make_page_layout(KvType::kQ8, 4, 2, 3, 64)), Error);
  }
}

}  // namespace
}  // namespace terrace
