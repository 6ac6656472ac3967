// The bytes of the disk tier's file: what was encoded comes back, what was damaged does not.
#include "runtime/cache/disk_table.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

const DiskGeometry kGeometry = {.digest = 7, .page_bytes = 8192, .num_frames = 5, .page_tokens = 3};

TableRecord record(uint64_t sequence, PageKey key) { return {sequence, 99, {key, {5, 6}, 4, {10, -20, 30}}}; }

std::vector<std::byte> table(const std::vector<std::pair<uint32_t, TableRecord>>& records) {
  std::vector<std::byte> bytes(kGeometry.num_frames * kGeometry.record_bytes());
  for (const auto& [frame, each] : records) {
    const auto encoded = encode_record(kGeometry, frame, each);
    std::copy(encoded.begin(), encoded.end(), bytes.begin() + static_cast<std::ptrdiff_t>(frame * kGeometry.record_bytes()));
  }
  return bytes;
}

TEST(DiskTableTest, PagesAreAlignedAndTheSizeIsExact) {
  EXPECT_EQ(kGeometry.record_bytes() % 64, 0u);
  EXPECT_EQ(kGeometry.page_offset(0) % 4096, 0u);
  EXPECT_EQ(kGeometry.file_bytes(), 4096 + 4096 + 5 * 8192u);
}

TEST(DiskTableTest, AHeaderSurvivesARoundTripAndNoDamage) {
  std::vector<std::byte> bytes = encode_header(kGeometry);
  EXPECT_EQ(decode_header(bytes), kGeometry);
  for (size_t i = 0; i < 48; ++i) {
    bytes[i] ^= std::byte{1};
    EXPECT_EQ(decode_header(bytes), std::nullopt) << i;
    bytes[i] ^= std::byte{1};
  }
  EXPECT_EQ(decode_header(std::span(bytes).first(47)), std::nullopt);
}

TEST(DiskTableTest, ARecordSurvivesARoundTripAndNoDamage) {
  std::vector<std::byte> bytes = encode_record(kGeometry, 2, record(1, {1, 2}));
  const auto back = decode_record(kGeometry, 2, bytes);
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->page, record(1, {1, 2}).page);
  TableRecord alone = record(1, {1, 2});
  alone.page.alone = true;
  EXPECT_EQ(decode_record(kGeometry, 2, encode_record(kGeometry, 2, alone)).value().page, alone.page);
  EXPECT_EQ(back->stamp, 99u);
  EXPECT_FALSE(decode_record(kGeometry, 3, bytes).has_value());  // of another frame
  for (std::byte& each : bytes) {
    each ^= std::byte{1};
    EXPECT_FALSE(decode_record(kGeometry, 2, bytes).has_value());
    each ^= std::byte{1};
  }
}

TEST(DiskTableTest, OfTwoRecordsOfAKeyTheNewerCounts) {
  const auto records = decode_table(kGeometry, table({{0, record(8, {1, 1})}, {2, record(9, {1, 1})}, {3, record(7, {1, 1})}, {4, record(1, {2, 1})}}));
  ASSERT_EQ(records.size(), 5u);
  EXPECT_FALSE(records[0] || records[1] || records[3]);
  EXPECT_TRUE(records[2] && records[4]);
}

TEST(DiskTableTest, AShortTableHasFewerRecords) {
  const auto bytes = table({{0, record(1, {1, 1})}, {1, record(2, {2, 1})}});
  EXPECT_EQ(decode_table(kGeometry, std::span(bytes).first(kGeometry.record_bytes() + 1)).size(), 1u);
}

}  // namespace
}  // namespace terrace
