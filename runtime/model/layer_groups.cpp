#include "runtime/model/layer_groups.h"

#include <algorithm>

namespace terrace {
namespace {

// Of a kind's layers, so many may be added that are nobody's: one of 6, or of 12 where pages are kept for good. All Gemma 3 (18 to 62 layers, every sixth
// sees everything) then have groups of as many layers as see everything.
size_t layers_per_nobodys(const AttentionWindow& window) { return window.size > 0 ? 6 : 12; }

struct Kind {
  AttentionWindow window;
  std::vector<size_t> layers;
};

std::vector<Kind> kinds_of(std::span<const AttentionWindow> windows) {
  std::vector<Kind> kinds;
  for (size_t layer = 0; layer < windows.size(); ++layer) {
    const auto found = std::ranges::find(kinds, windows[layer], &Kind::window);
    (found != kinds.end() ? *found : kinds.emplace_back(Kind{windows[layer], {}})).layers.push_back(layer);
  }
  std::ranges::stable_sort(kinds, {}, [](const Kind& kind) { return kind.window.size; });
  return kinds;
}

size_t groups_of(const Kind& kind, size_t size) { return (kind.layers.size() + size - 1) / size; }

size_t count_groups(const std::vector<Kind>& kinds, size_t size) {
  size_t count = 0;
  for (const Kind& kind : kinds) count += groups_of(kind, size);
  return count;
}

bool wastes_little(const std::vector<Kind>& kinds, size_t size) {
  return std::ranges::all_of(kinds, [&](const Kind& kind) {
    const size_t nobodys = groups_of(kind, size) * size - kind.layers.size();
    return nobodys * layers_per_nobodys(kind.window) <= kind.layers.size();
  });
}

}  // namespace

LayerGroups make_layer_groups(std::span<const AttentionWindow> windows) {
  std::vector<Kind> kinds = kinds_of(windows);
  size_t size = windows.size();
  while (!wastes_little(kinds, size)) --size;
  const size_t count = count_groups(kinds, size);
  while (size > 1 && count_groups(kinds, size - 1) == count) --size;
  if (count > static_cast<size_t>(kMostLayerGroups)) {  // as if all saw everything
    const std::vector<AttentionWindow> alike(windows.size());
    return make_layer_groups(alike);
  }
  LayerGroups groups;
  groups.layers_per_group = static_cast<int32_t>(size);
  groups.places.resize(windows.size());
  for (const Kind& kind : kinds) {
    const int32_t first = groups.count();
    for (size_t i = 0; i < kind.layers.size(); ++i) groups.places[kind.layers[i]] = {first + static_cast<int32_t>(i / size), static_cast<int32_t>(i % size)};
    groups.windows.resize(groups.windows.size() + groups_of(kind, size), kind.window);
  }
  return groups;
}

}  // namespace terrace
