// Stamps of pages: the movers' checksum is the one that the disk tier makes; bytes and key both count.
#include "runtime/cache/page_checksum.h"

#include <gtest/gtest.h>

#include "kernels/cpu/page_copy.h"

namespace terrace {
namespace {

TEST(PageChecksumTest, IsWhatAMoverMakes) {
  struct alignas(64) Page {
    std::byte bytes[12288];
  };
  static Page from, to;
  for (size_t i = 0; i < sizeof(Page); ++i) from.bytes[i] = static_cast<std::byte>(i * i >> 3);
  EXPECT_EQ(page_checksum(from.bytes), copy_page_scalar(to.bytes, from.bytes, sizeof(Page)));
  EXPECT_EQ(page_checksum(to.bytes), page_checksum(from.bytes));
}

TEST(PageChecksumTest, AStampDependsOnBytesAndKey) {
  const uint64_t stamp = page_stamp(1, {2, 3});
  EXPECT_EQ(stamp, page_stamp(1, {2, 3}));
  EXPECT_NE(stamp, page_stamp(2, {2, 3}));
  EXPECT_NE(stamp, page_stamp(1, {3, 2}));
}

}  // namespace
}  // namespace terrace
