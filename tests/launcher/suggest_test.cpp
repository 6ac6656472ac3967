#include "launcher/suggest.h"

#include <gtest/gtest.h>

#include <array>

namespace terrace {
namespace {

constexpr std::array<std::string_view, 4> kWords = {"layers", "heads", "kv_heads", "run"};

TEST(SuggestTest, OffersTheNearestWord) {
  EXPECT_EQ(did_you_mean("layer", kWords), "; did you mean 'layers'?");
  EXPECT_EQ(did_you_mean("laeyrs", kWords), "; did you mean 'layers'?");
  EXPECT_EQ(did_you_mean("kvheads", kWords), "; did you mean 'kv_heads'?");
  EXPECT_EQ(did_you_mean("runn", kWords), "; did you mean 'run'?");
}

TEST(SuggestTest, IsSilentWhereNothingIsNear) {
  EXPECT_EQ(did_you_mean("zebra", kWords), "");
  EXPECT_EQ(did_you_mean("", kWords), "");
  EXPECT_EQ(did_you_mean("x", {}), "");
  EXPECT_EQ(did_you_mean(std::string(100'000, 'a'), kWords), "");
}

}  // namespace
}  // namespace terrace
