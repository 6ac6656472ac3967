// Which layers share their pages (LAW 2): layers whose K and V live equally long, all positions or those of one window. All groups have the same number of
// layers, so that a frame of one pool takes a page of any of them. Pure arithmetic.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/attention_window.h"
#include "kernels/backend.h"

namespace terrace {

struct LayerGroups {
  int32_t layers_per_group = 0;          // the last group of a kind may have fewer: its pages end with layers that are nobody's
  std::vector<AttentionWindow> windows;  // [groups] what its layers see; those that see everything come first
  std::vector<LayerPlace> places;        // [layers]

  int32_t count() const { return static_cast<int32_t>(windows.size()); }
};

/// `windows`: of each layer; at least one. One group where all are alike, or where it would take more than kMostLayerGroups.
LayerGroups make_layer_groups(std::span<const AttentionWindow> windows);

/// Each has a page table, and a sequence's tokens are in a page of each.
inline constexpr int32_t kMostLayerGroups = 16;

}  // namespace terrace
