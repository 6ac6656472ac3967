#include "runtime/cache/disk_table.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <unordered_map>

#include "runtime/cache/page_checksum.h"

namespace terrace {
namespace {

static_assert(std::endian::native == std::endian::little, "the file's numbers are little-endian");

constexpr uint64_t kMagic = 0x3147504543415254;  // "TRACEPG1"
constexpr uint32_t kVersion = 1;

struct RawHeader {
  uint64_t magic;
  uint32_t version;
  uint32_t num_frames;
  uint64_t digest;
  uint64_t page_bytes;
  int32_t page_tokens;
  uint32_t zero;
  uint64_t checksum;  // of what stands before it
};
static_assert(sizeof(RawHeader) == 48);

struct RawRecord {  // page_tokens tokens follow
  uint64_t checksum;  // of all that follows in the record
  uint64_t sequence;
  uint64_t stamp;
  PageKey key;
  PageKey parent;
  uint32_t frame;
  int32_t depth;
  int32_t num_tokens;
  uint32_t alone;
};
static_assert(sizeof(RawRecord) == 72);

uint64_t record_checksum(std::span<const std::byte> record) { return page_checksum(record.subspan(sizeof(uint64_t))); }

}  // namespace

std::vector<std::byte> encode_header(const DiskGeometry& geometry) {
  RawHeader raw = {kMagic, kVersion, geometry.num_frames, geometry.digest, geometry.page_bytes, geometry.page_tokens, 0, 0};
  std::vector<std::byte> bytes(DiskGeometry::kHeaderBytes);
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  raw.checksum = page_checksum({bytes.data(), offsetof(RawHeader, checksum)});
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  return bytes;
}

std::optional<DiskGeometry> decode_header(std::span<const std::byte> bytes) {
  RawHeader raw;
  if (bytes.size() < sizeof(raw)) return std::nullopt;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  if (raw.magic != kMagic || raw.version != kVersion) return std::nullopt;
  if (raw.checksum != page_checksum(bytes.first(offsetof(RawHeader, checksum)))) return std::nullopt;
  return DiskGeometry{raw.digest, raw.page_bytes, raw.num_frames, raw.page_tokens};
}

std::vector<std::byte> encode_record(const DiskGeometry& geometry, uint32_t frame, const TableRecord& record) {
  const PageRecord& page = record.page;
  RawRecord raw = {0, record.sequence, record.stamp, page.key, page.parent, frame, page.depth, geometry.page_tokens, page.alone ? 1u : 0u};
  std::vector<std::byte> bytes(geometry.record_bytes());
  std::memcpy(bytes.data(), &raw, sizeof(raw));
  std::memcpy(bytes.data() + sizeof(raw), page.tokens.data(), 4 * static_cast<size_t>(geometry.page_tokens));
  raw.checksum = record_checksum(bytes);
  std::memcpy(bytes.data(), &raw.checksum, sizeof(raw.checksum));
  return bytes;
}

std::optional<TableRecord> decode_record(const DiskGeometry& geometry, uint32_t frame, std::span<const std::byte> bytes) {
  RawRecord raw;
  if (bytes.size() != geometry.record_bytes() || geometry.page_tokens < 0) return std::nullopt;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  if (raw.sequence == 0 || raw.frame != frame || raw.num_tokens != geometry.page_tokens) return std::nullopt;
  if (raw.checksum != record_checksum(bytes)) return std::nullopt;
  TableRecord record{raw.sequence, raw.stamp, {raw.key, raw.parent, raw.depth, {}, raw.alone != 0}};
  record.page.tokens.resize(static_cast<size_t>(geometry.page_tokens));
  std::memcpy(record.page.tokens.data(), bytes.data() + sizeof(raw), 4 * record.page.tokens.size());
  return record;
}

std::vector<std::optional<TableRecord>> decode_table(const DiskGeometry& geometry, std::span<const std::byte> bytes) {
  const size_t record_bytes = geometry.record_bytes();
  std::vector<std::optional<TableRecord>> records(std::min<size_t>(geometry.num_frames, bytes.size() / record_bytes));
  std::unordered_map<PageKey, size_t, PageKeyHash> newest;
  for (size_t frame = 0; frame < records.size(); ++frame) {
    records[frame] = decode_record(geometry, static_cast<uint32_t>(frame), bytes.subspan(frame * record_bytes, record_bytes));
    if (!records[frame]) continue;
    const auto [other, is_first] = newest.try_emplace(records[frame]->page.key, frame);
    if (is_first) continue;
    const bool newer = records[frame]->sequence > records[other->second]->sequence;
    records[newer ? other->second : frame].reset();
    if (newer) other->second = frame;
  }
  return records;
}

}  // namespace terrace
