// What is known of a cached page besides its bytes, so that a rank 0 that starts again can rebuild its index. Values only.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cache/page.h"

namespace terrace {

struct PageRecord {
  PageKey key;
  PageKey parent;               // of the page before it in its chain
  int32_t depth = 0;            // pages before it
  std::vector<int32_t> tokens;  // [page_tokens]; compared on a hit
  bool alone = false;           // of a layer group with a window: of use without the pages before it
  bool operator==(const PageRecord&) const = default;
};

/// A page that lies whole on the disk tier, as its record says; its bytes are verified when they are read.
struct DiskRecord {
  uint32_t frame = kNoFrame;
  PageRecord page;
  bool operator==(const DiskRecord&) const = default;
};

}  // namespace terrace
