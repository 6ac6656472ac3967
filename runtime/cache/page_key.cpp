#include "runtime/cache/page_key.h"

#include <xxhash.h>

#include <string>

namespace terrace {
namespace {

PageKey to_key(XXH128_hash_t hash) { return {hash.low64, hash.high64}; }

}  // namespace

PageKey root_key(std::string_view origin, std::string_view salt) {
  std::string text(origin);
  text += '\0';  // "ab" + "c" is not "a" + "bc"
  text += salt;
  return to_key(XXH3_128bits(text.data(), text.size()));
}

PageKey next_key(const PageKey& parent, std::span<const int32_t> tokens) {
  const XXH128_hash_t own = XXH3_128bits_withSeed(tokens.data(), tokens.size_bytes(), parent.low);
  const uint64_t link[] = {parent.low, parent.high, own.low64, own.high64};
  return to_key(XXH3_128bits(link, sizeof link));
}

PageKey group_key(const PageKey& key, int32_t group) {
  if (group == 0) return key;
  const uint64_t parts[] = {key.low, key.high, static_cast<uint64_t>(group)};
  return to_key(XXH3_128bits(parts, sizeof parts));
}

PageKey key_before(const KeyChain& chain, std::span<const PageKey> keys, int32_t page) {
  const PageKey& before = page == 0 ? chain.root : keys[static_cast<size_t>(page) - 1];
  if (page != chain.sparse_from / chain.page_tokens) return before;
  const int32_t place[] = {chain.sparse_from % chain.page_tokens};
  return next_key(before, place);
}

void extend_keys(const KeyChain& chain, std::span<const int32_t> tokens, std::vector<PageKey>& keys) {
  const auto size = static_cast<size_t>(chain.page_tokens);
  while ((keys.size() + 1) * size <= tokens.size()) {
    keys.push_back(next_key(key_before(chain, keys, static_cast<int32_t>(keys.size())), tokens.subspan(keys.size() * size, size)));
  }
}

}  // namespace terrace
