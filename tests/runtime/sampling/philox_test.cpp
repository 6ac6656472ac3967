#include "runtime/sampling/philox.h"

#include <gtest/gtest.h>

namespace terrace {
namespace {

// Known answers from the paper's reference implementation (Random123, kat_vectors).
TEST(PhiloxTest, MatchesPublishedVectors) {
  EXPECT_EQ(philox({0, 0, 0, 0}, {0, 0}), (std::array<uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox({0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}, {0xffffffff, 0xffffffff}),
            (std::array<uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
}

TEST(PhiloxTest, UniformDependsOnSeedChoiceAndPosition) {
  const double base = sampling_uniform(7, 0, 3);
  EXPECT_EQ(base, sampling_uniform(7, 0, 3));
  EXPECT_NE(base, sampling_uniform(8, 0, 3));
  EXPECT_NE(base, sampling_uniform(7, 1, 3));
  EXPECT_NE(base, sampling_uniform(7, 0, 4));
}

}  // namespace
}  // namespace terrace
