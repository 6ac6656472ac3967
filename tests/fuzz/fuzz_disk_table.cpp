// A cold pages' file that something else wrote into: header and table are decoded or refused, a record that is taken survives a round trip.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "runtime/cache/disk_table.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::span bytes(reinterpret_cast<const std::byte*>(data), size);
  if (const auto header = terrace::decode_header(bytes)) {
    if (terrace::decode_header(terrace::encode_header(*header)) != header) std::abort();
  }
  const terrace::DiskGeometry geometry = {.digest = 1, .page_bytes = 4096, .num_frames = 16, .page_tokens = 4};
  const auto records = terrace::decode_table(geometry, bytes);
  for (uint32_t frame = 0; frame < records.size(); ++frame) {
    if (!records[frame]) continue;
    const auto again = terrace::decode_record(geometry, frame, terrace::encode_record(geometry, frame, *records[frame]));
    if (!again || again->page != records[frame]->page) std::abort();
  }
  return 0;
}
