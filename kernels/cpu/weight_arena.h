// Memory for packed weights: large chunks in huge pages, which spare a decode step a TLB miss for every 4 KiB of weights (measured
// on Zen 3: 1.3 times the bandwidth). Used from the backend's step thread. Never gives a part of a chunk back before all of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace terrace {

class WeightArena {
 public:
  /// Zero-filled memory, aligned to 64 bytes, not yet touched. It lives as long as the pointer, also beyond the arena.
  /// Throws kOutOfMemory.
  std::shared_ptr<uint8_t> allocate(size_t bytes);

 private:
  std::shared_ptr<uint8_t> chunk_;
  size_t chunk_bytes_ = 0;
  size_t used_ = 0;  // of chunk_
};

}  // namespace terrace
