#include "runtime/cache/page_checksum.h"

#include <xxhash.h>

namespace terrace {

uint64_t page_checksum(std::span<const std::byte> page) { return XXH3_64bits(page.data(), page.size()); }

uint64_t page_stamp(uint64_t checksum, const PageKey& key) {
  const uint64_t words[] = {checksum, key.low, key.high};
  return XXH3_64bits(words, sizeof(words));
}

}  // namespace terrace
