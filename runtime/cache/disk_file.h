// A rank's file of cold pages: preallocated, locked, its header checked. Owns the descriptors. Its table of records is mapped: what is written to it is the
// kernel's, survives the death of the process, and waits for no page that is being written, as a write to the same file would. Pages go by DiskIo, past the kernel's cache where the file system lets them. Used by one thread at a time.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/cache/disk_table.h"

namespace terrace {

class DiskFile {
 public:
  /// Makes the file or opens it. kInvalidValue for a file of something else, of another model or layout, or in use by another process; kIoError where there is no room.
  DiskFile(std::string path, const DiskGeometry& geometry);
  ~DiskFile();
  DiskFile(const DiskFile&) = delete;
  DiskFile& operator=(const DiskFile&) = delete;

  const DiskGeometry& geometry() const { return geometry_; }
  /// For pages.
  int page_fd() const { return page_fd_; }
  bool is_direct() const { return is_direct_; }
  /// By frame, as the table has them; where it cannot be read there are none.
  std::vector<std::optional<TableRecord>> read_table() const;
  void write_record(uint32_t frame, const TableRecord& record);
  void clear_record(uint32_t frame);

 private:
  void lock() const;
  void make_or_check();
  void reserve() const;
  bool write_at(const std::vector<std::byte>& bytes, uint64_t offset) const;
  [[noreturn]] void refuse(const std::string& why) const;
  void map_table();
  void close_all();

  std::string path_;
  DiskGeometry geometry_;
  int table_fd_ = -1;
  int page_fd_ = -1;
  bool is_direct_ = true;
  std::span<std::byte> head_;  // header and table, mapped
};

}  // namespace terrace
