// The words of the KV cache: tier, frame, page reference, key, move. Ids only; bytes are the page store's business.
#pragma once

#include <cstddef>
#include <cstdint>

namespace terrace {

enum class Tier : uint8_t { kDevice = 0, kHost = 1, kDisk = 2 };
inline constexpr int kNumTiers = 3;

inline constexpr uint32_t kNoFrame = 0xFFFFFFFFu;

/// Where a page lies. A frame number names the same logical page on every rank (LAW 2), so rank 0 books once for all.
struct PageRef {
  Tier tier = Tier::kDevice;
  uint32_t frame = kNoFrame;
  bool operator==(const PageRef&) const = default;
};

/// Names a full page by all tokens up to its end: 128-bit xxh3 of (the key of the page before it, its tokens, salt).
struct PageKey {
  uint64_t low = 0;
  uint64_t high = 0;
  bool operator==(const PageKey&) const = default;
};

struct PageKeyHash {
  size_t operator()(const PageKey& key) const { return static_cast<size_t>(key.low); }
};

/// The ways between neighbouring tiers, each a queue of its own: device to host, host to device, host to disk, disk to host; and host to host, where pages are verified.
inline constexpr int kNumLinks = 5;
inline size_t link_of(Tier from, Tier to) { return from == to ? 4 : 2 * static_cast<size_t>(from < to ? from : to) + (to < from ? 1 : 0); }

/// One page's way between neighbouring tiers (device and host, host and disk), the same on every rank; or from a host frame to itself, which only verifies it,
/// for rows that are to read it there. `to` may be read only in a plan made
/// after all ranks reported the move as done; `from` stays as it is until then.
struct PageMove {
  uint32_t id = 0;  // ascending, never reused within a run
  PageRef from;
  PageRef to;
  PageKey key;      // of the page; goes with its checksum, so that a swapped frame is found out

  bool is_check() const { return from == to && from.tier == Tier::kHost; }
  bool is_possible() const { return is_check() || (from.tier != to.tier && (from.tier == Tier::kHost || to.tier == Tier::kHost)); }
};

}  // namespace terrace
