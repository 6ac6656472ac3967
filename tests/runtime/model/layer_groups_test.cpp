#include "runtime/model/layer_groups.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace terrace {
namespace {

constexpr AttentionWindow kAll = {};

/// Every `full_every`-th layer sees everything.
std::vector<AttentionWindow> interleaved(int layers, int full_every, AttentionWindow window = {512, 0}) {
  std::vector<AttentionWindow> windows;
  for (int layer = 1; layer <= layers; ++layer) windows.push_back(layer % full_every == 0 ? kAll : window);
  return windows;
}

TEST(LayerGroupsTest, LayersThatAreAlikeAreOneGroup) {
  for (const AttentionWindow window : {kAll, AttentionWindow{64, 4}}) {
    const std::vector<AttentionWindow> windows(30, window);
    const LayerGroups groups = make_layer_groups(windows);
    EXPECT_EQ(groups.layers_per_group, 30);
    EXPECT_EQ(groups.windows, std::vector<AttentionWindow>{window});
    for (int32_t layer = 0; layer < 30; ++layer) {
      EXPECT_EQ(groups.places[static_cast<size_t>(layer)].group, 0);
      EXPECT_EQ(groups.places[static_cast<size_t>(layer)].layer, layer);
    }
  }
}

// Layers, those that see everything, and the groups of both: Gemma 3 of 270M, 1B, 4B, 12B and 27B; every second layer; and what comes out even by chance only.
TEST(LayerGroupsTest, AGroupHasAsManyLayersAsWasteLittle) {
  struct Case {
    int layers, full_every, size, full, windowed;
  };
  for (const Case& c : {Case{18, 6, 3, 1, 5}, Case{26, 6, 4, 1, 6}, Case{34, 6, 5, 1, 6}, Case{48, 6, 8, 1, 5}, Case{62, 6, 10, 1, 6}, Case{24, 2, 12, 1, 1}, Case{25, 2, 13, 1, 1},
                        Case{7, 3, 1, 2, 5}}) {
    const LayerGroups groups = make_layer_groups(interleaved(c.layers, c.full_every));
    EXPECT_EQ(groups.layers_per_group, c.size) << c.layers;
    EXPECT_EQ(std::ranges::count(groups.windows, kAll), c.full) << c.layers;
    EXPECT_EQ(groups.count(), c.full + c.windowed) << c.layers;
    EXPECT_EQ(groups.windows.front(), kAll) << c.layers;
  }
}

TEST(LayerGroupsTest, EachLayerHasAPlaceOfItsOwnAmongLayersOfItsWindow) {
  std::vector<AttentionWindow> windows = interleaved(48, 6);
  for (size_t layer = 0; layer < windows.size(); layer += 6) windows[layer] = {1024, 0};  // a third kind
  const LayerGroups groups = make_layer_groups(windows);
  std::set<std::pair<int32_t, int32_t>> taken;
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    const auto [group, place] = groups.places[layer];
    EXPECT_TRUE(taken.insert({group, place}).second) << layer;
    EXPECT_TRUE(place >= 0 && place < groups.layers_per_group) << layer;
    EXPECT_EQ(groups.windows.at(static_cast<size_t>(group)), windows[layer]) << layer;
  }
}

TEST(LayerGroupsTest, ManyGroupsAreNotWorthIt) {
  EXPECT_EQ(make_layer_groups(interleaved(16, 16)).count(), 16);
  const LayerGroups groups = make_layer_groups(interleaved(17, 17));
  EXPECT_EQ(groups.count(), 1);
  EXPECT_EQ(groups.layers_per_group, 17);
  EXPECT_EQ(groups.windows.front(), kAll);
}

}  // namespace
}  // namespace terrace
