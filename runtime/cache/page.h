// The words of the KV cache: tier, frame, page reference. Ids only; bytes are the page store's business.
#pragma once

#include <cstdint>

namespace terrace {

enum class Tier : uint8_t { kDevice = 0 };  // host and disk come with the tiered cache

inline constexpr uint32_t kNoFrame = 0xFFFFFFFFu;

/// Where a page lies. A frame number names the same logical page on every rank (LAW 2), so rank 0 books once for all.
struct PageRef {
  Tier tier = Tier::kDevice;
  uint32_t frame = kNoFrame;
  bool operator==(const PageRef&) const = default;
};

}  // namespace terrace
