#include "kernels/base/half.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace terrace {
namespace {

TEST(HalfTest, EveryF16SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    const float value = f16_to_float(half);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(f16_to_float(float_to_f16(value))));
    } else {
      ASSERT_EQ(float_to_f16(value), half) << bits;
    }
  }
}

TEST(HalfTest, RoundsToNearestEven) {
  EXPECT_EQ(float_to_f16(1.0f + 0x1p-11f), 0x3c00);            // tie: down to even
  EXPECT_EQ(float_to_f16(1.0f + 3 * 0x1p-11f), 0x3c02);        // tie: up to even
  EXPECT_EQ(float_to_f16(65519.0f), 0x7bff);
  EXPECT_EQ(float_to_f16(65520.0f), 0x7c00);                   // overflows to infinity
  EXPECT_EQ(float_to_f16(0x1p-25f), 0x0000);
  EXPECT_EQ(float_to_f16(-0x1.8p-25f), 0x8001);
  EXPECT_EQ(float_to_bf16(1.0f + 0x1p-8f), 0x3f80);
  EXPECT_EQ(float_to_bf16(1.0f + 3 * 0x1p-8f), 0x3f82);
  EXPECT_TRUE(std::isnan(bf16_to_float(float_to_bf16(std::numeric_limits<float>::quiet_NaN()))));
}

TEST(HalfTest, EveryF8SurvivesTheRoundTrip) {
  for (uint32_t bits = 0; bits < 0x100; ++bits) {
    const auto code = static_cast<uint8_t>(bits);
    const float value = f8_to_float(code);
    EXPECT_EQ(std::isnan(value), (bits & 0x7f) == 0x7f) << bits;
    EXPECT_EQ(std::signbit(value), bits >= 0x80) << bits;
    EXPECT_EQ(float_to_f8(value), code) << bits;
  }
  EXPECT_EQ(f8_to_float(0x01), 0x1p-9f);
  EXPECT_EQ(f8_to_float(0x08), 0x1p-6f);
  EXPECT_EQ(f8_to_float(0x38), 1.0f);
  EXPECT_EQ(f8_to_float(0xfe), -448.0f);
}

// By looking for it among all of them.
TEST(HalfTest, F8IsTheNearestOfAllAndTheEvenOneOfTwo) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    const float value = std::bit_cast<float>((static_cast<uint32_t>(random()) & 0x7fffffu) | (112u + static_cast<uint32_t>(random()) % 26) << 23);  // 2^-15 to 2^11
    const float rounded = i % 4 == 0 ? std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xfff80000u) : value;  // some are ties
    int best = 0;
    for (int code = 1; code < 0x7f; ++code) {
      const float here = std::abs(f8_to_float(static_cast<uint8_t>(code)) - rounded), there = std::abs(f8_to_float(static_cast<uint8_t>(best)) - rounded);
      if (here < there || (here == there && code % 2 == 0)) best = code;
    }
    ASSERT_EQ(float_to_f8(rounded), best) << rounded;
    ASSERT_EQ(float_to_f8(-rounded), best | 0x80) << rounded;
  }
  for (const float beyond : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) EXPECT_EQ(float_to_f8(beyond) & 0x7f, 0x7f);
  EXPECT_EQ(float_to_f8(-std::numeric_limits<float>::max()), 0xfe);
}

}  // namespace
}  // namespace terrace
