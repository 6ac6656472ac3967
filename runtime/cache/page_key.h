// How full pages are named: a chain of 128-bit hashes. Equal keys of one run mean equal tokens but for a collision, which is why a hit compares the
// tokens too; over runs the root covers all that the bytes of a page depend on.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "runtime/cache/page.h"

namespace terrace {

/// Where chains begin: `origin` describes model, KV format, numerics and shards; pages of different salts are never shared.
PageKey root_key(std::string_view origin, std::string_view salt);

/// The key of the page that follows `parent` and holds `tokens`.
PageKey next_key(const PageKey& parent, std::span<const int32_t> tokens);

/// Of the same tokens' page of a layer group: each group has chains of its own. Group 0: the key itself.
PageKey group_key(const PageKey& key, int32_t group);

/// Extends `keys` to all full pages of `tokens`.
void extend_keys(const PageKey& root, std::span<const int32_t> tokens, int32_t page_tokens, std::vector<PageKey>& keys);

}  // namespace terrace
