#include "kernels/page_codec.h"

#include "kernels/base/error.h"
#include "kernels/page_layout.h"

namespace terrace {

void check_stored_format(const PageLayout& device, const PageLayout& stored) {
  const auto is_small = [](KvType type) { return type == KvType::kQ4 || type == KvType::kF8; };
  if (stored.format() != KvFormat(KvType::kQ8) || is_small(device.k.type) || is_small(device.v.type)) {
    throw Error(ErrorCode::kInvalidValue, "pages are stored as 8 bits where the device's have 16 or more: set cache.host_format to same");
  }
}

}  // namespace terrace
