#include "kernels/cpu/float_math.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace terrace {
namespace {

float tanh_of(float x) { return tanh(ScalarLanes::broadcast(x)).first(); }

TEST(FloatMathTest, TanhIsWithinThreeUlp) {
  for (int i = -20000; i <= 20000; ++i) {
    const float x = static_cast<float>(i) * 0x1p-10f;
    const double expected = std::tanh(static_cast<double>(x));
    const float size = std::abs(static_cast<float>(expected));
    ASSERT_NEAR(tanh_of(x), expected, 3 * (std::nextafter(size, 2.0f) - size)) << x;
  }
}

TEST(FloatMathTest, TanhOfWhatIsNotFinite) {
  EXPECT_EQ(tanh_of(std::numeric_limits<float>::infinity()), 1.0f);
  EXPECT_EQ(tanh_of(-std::numeric_limits<float>::infinity()), -1.0f);
  EXPECT_TRUE(std::isnan(tanh_of(std::numeric_limits<float>::quiet_NaN())));
}

TEST(FloatMathTest, PowersOfTwoAreNear) {
  EXPECT_EQ(exp2_normal(ScalarLanes::zero()).first(), 1.0f);
  for (int i = -125 * 64; i <= 0; ++i) {
    const double x = i / 64.0, expected = std::exp2(x);
    ASSERT_NEAR(exp2_normal(ScalarLanes::broadcast(static_cast<float>(x))).first(), expected, 3e-7 * expected) << x;
  }
}

TEST(FloatMathTest, LogarithmsAreNear) {
  for (double x = 0x1p-120; x < 0x1p120; x *= 1.0173) {
    const auto value = static_cast<float>(x);
    const double expected = std::log(static_cast<double>(value));
    ASSERT_NEAR(log(ScalarLanes::broadcast(value)).first(), expected, 3e-7 * std::max(1.0, std::abs(expected))) << x;
  }
  EXPECT_EQ(log(ScalarLanes::broadcast(1.0f)).first(), 0.0f);
  EXPECT_TRUE(std::isnan(log(ScalarLanes::broadcast(std::numeric_limits<float>::quiet_NaN())).first()));
}

}  // namespace
}  // namespace terrace
