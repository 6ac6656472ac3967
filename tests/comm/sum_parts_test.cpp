#include "comm/sum_parts.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace terrace {
namespace {

TEST(SumPartsTest, AddsInRankOrderWithAndWithoutWideVectors) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  for (const size_t ranks : {2, 3, 5}) {
    std::vector<std::vector<float>> values(ranks, std::vector<float>(1200));
    std::vector<float*> parts;
    for (std::vector<float>& part : values) {
      for (float& value : part) value = normal(random);
      parts.push_back(part.data());
    }
    for (const size_t count : {1, 7, 8, 576, 577, 1190}) {
      const size_t begin = count % 10;
      std::vector<float> expected(count), wide(count), plain(count);
      for (size_t i = 0; i < count; ++i) {
        expected[i] = values[0][begin + i];
        for (size_t rank = 1; rank < ranks; ++rank) expected[i] += values[rank][begin + i];
      }
      sum_parts(parts, begin, count, wide.data());
      sum_parts_plain(parts, begin, count, plain.data());
      EXPECT_EQ(wide, expected) << ranks << " ranks, " << count;
      EXPECT_EQ(plain, expected) << ranks << " ranks, " << count;
    }
    std::vector<float> expected = values[0];
    for (size_t rank = 1; rank < ranks; ++rank) {
      for (size_t i = 3; i < 1100; ++i) expected[i] += values[rank][i];
    }
    sum_parts_in_place(parts, 3, 1100, parts);
    EXPECT_EQ(std::vector<float>(values[0].begin() + 3, values[0].begin() + 1100), std::vector<float>(expected.begin() + 3, expected.begin() + 1100));
    for (size_t rank = 1; rank < ranks; ++rank) EXPECT_TRUE(std::equal(values[rank].begin() + 3, values[rank].begin() + 1100, values[0].begin() + 3)) << rank;
  }
}

}  // namespace
}  // namespace terrace
