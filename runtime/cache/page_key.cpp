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

void extend_keys(const PageKey& root, std::span<const int32_t> tokens, int32_t page_tokens, std::vector<PageKey>& keys) {
  const auto size = static_cast<size_t>(page_tokens);
  while ((keys.size() + 1) * size <= tokens.size()) {
    keys.push_back(next_key(keys.empty() ? root : keys.back(), tokens.subspan(keys.size() * size, size)));
  }
}

}  // namespace terrace
