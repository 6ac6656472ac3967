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

/// What the keys of a sequence's pages depend on beside its tokens. K and V that were computed by reading sparsely are others than those of the same
/// tokens of a prompt: the page that holds the first of them begins a chain of its own, which names where in it they begin.
struct KeyChain {
  PageKey root;
  int32_t page_tokens = 16;
  int32_t sparse_from = INT32_MAX;  // position
};

/// What a page follows: the key of the page before it, or what begins a chain; `keys` are those before it, at least.
PageKey key_before(const KeyChain& chain, std::span<const PageKey> keys, int32_t page);

/// Extends `keys` to all full pages of `tokens`.
void extend_keys(const KeyChain& chain, std::span<const int32_t> tokens, std::vector<PageKey>& keys);

}  // namespace terrace
