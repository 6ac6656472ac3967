// The layout of a rank's disk tier file: header, table of records, pages. Encodes and decodes bytes; touches no file. Pure functions.
//
//   [header, 4 KiB] [num_frames records of record_bytes, rounded up to 4 KiB] [num_frames pages of page_bytes]
// Every record has a checksum of its own: one that was torn or never written is no record. Numbers are little-endian.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "runtime/cache/page_record.h"

namespace terrace {

struct DiskGeometry {
  uint64_t digest = 0;  // of the model and the page layout: whose pages these are
  size_t page_bytes = 0;  // a multiple of 4,096
  uint32_t num_frames = 0;
  int32_t page_tokens = 0;

  static constexpr size_t kHeaderBytes = 4096;
  size_t record_bytes() const { return (72 + 4 * static_cast<size_t>(page_tokens) + 63) / 64 * 64; }
  size_t table_bytes() const { return (num_frames * record_bytes() + 4095) / 4096 * 4096; }
  size_t record_offset(uint32_t frame) const { return kHeaderBytes + frame * record_bytes(); }
  size_t page_offset(uint32_t frame) const { return kHeaderBytes + table_bytes() + frame * page_bytes; }
  size_t file_bytes() const { return page_offset(num_frames); }
  bool operator==(const DiskGeometry&) const = default;
};

std::vector<std::byte> encode_header(const DiskGeometry& geometry);
/// nullopt: no header of this version.
std::optional<DiskGeometry> decode_header(std::span<const std::byte> bytes);

struct TableRecord {
  uint64_t sequence = 0;  // ascending over all records of a file; 0: none
  uint64_t stamp = 0;     // page_stamp() of the page's bytes and key
  PageRecord page;
};

/// record_bytes() long. page.tokens must be page_tokens long.
std::vector<std::byte> encode_record(const DiskGeometry& geometry, uint32_t frame, const TableRecord& record);
/// nullopt where there is no whole record of this frame. `bytes`: record_bytes().
std::optional<TableRecord> decode_record(const DiskGeometry& geometry, uint32_t frame, std::span<const std::byte> bytes);

/// The records of a table by frame. Of two with the same key the newer counts. `bytes`: num_frames records; a shorter table has fewer.
std::vector<std::optional<TableRecord>> decode_table(const DiskGeometry& geometry, std::span<const std::byte> bytes);

}  // namespace terrace
