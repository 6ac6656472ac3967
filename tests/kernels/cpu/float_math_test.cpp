#include "kernels/cpu/float_math.h"

#include <gtest/gtest.h>

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

float rough_exp_of(float x) { return rough_exp_below(ScalarLanes::broadcast(x)).first(); }

TEST(FloatMathTest, RoughExponentialsKeepTwelveBits) {
  for (int i = 0; i <= 86600; ++i) {
    const float x = static_cast<float>(-i) * 1e-3f;
    const double expected = std::exp(static_cast<double>(x));
    ASSERT_NEAR(rough_exp_of(x), expected, expected * 0x1p-13) << x;
  }
  for (const float x : {-86.61f, -1e30f, -std::numeric_limits<float>::infinity()}) EXPECT_LT(rough_exp_of(x), 1e-37f) << x;
  EXPECT_TRUE(std::isnan(rough_exp_of(std::numeric_limits<float>::quiet_NaN())));
}

}  // namespace
}  // namespace terrace
