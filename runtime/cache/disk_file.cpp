#include "runtime/cache/disk_file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "kernels/base/error.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

int open_file(const std::string& path, int flags) { return open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | flags, 0600); }

/// Bytes read, fewer at the file's end or at an error.
size_t read_at(int fd, std::span<std::byte> bytes, uint64_t offset) {
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = pread(fd, bytes.data() + done, bytes.size() - done, static_cast<off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

}  // namespace

DiskFile::DiskFile(std::string path, const DiskGeometry& geometry) : path_(std::move(path)), geometry_(geometry) {
  try {
    table_fd_ = open_file(path_, 0);
    if (table_fd_ < 0) {
      throw Error(ErrorCode::kIoError, fmt::format("cannot open {} for cold pages: {}. Choose another cache.disk.path", path_, std::strerror(errno)));
    }
    lock();
    make_or_check();
    map_table();
    page_fd_ = open_file(path_, O_DIRECT);
    is_direct_ = page_fd_ >= 0;
    if (!is_direct_) {
      log_info(fmt::format("{}: its file system refuses O_DIRECT, cold pages go through the kernel's page cache", path_));
      page_fd_ = open_file(path_, 0);
    }
    if (page_fd_ < 0) throw Error(ErrorCode::kIoError, fmt::format("cannot open {} again: {}", path_, std::strerror(errno)));
  } catch (...) {
    close_all();
    throw;
  }
}

DiskFile::~DiskFile() { close_all(); }

void DiskFile::close_all() {
  if (!head_.empty()) munmap(head_.data(), head_.size());
  if (page_fd_ >= 0) close(page_fd_);
  if (table_fd_ >= 0) close(table_fd_);
}

void DiskFile::map_table() {
  const size_t bytes = geometry_.page_offset(0);
  void* head = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, table_fd_, 0);
  if (head == MAP_FAILED) throw Error(ErrorCode::kIoError, fmt::format("cannot map the table of {}: {}. Choose another cache.disk.path", path_, std::strerror(errno)));
  head_ = {static_cast<std::byte*>(head), bytes};
}

void DiskFile::refuse(const std::string& why) const {
  throw Error(ErrorCode::kInvalidValue, fmt::format("{} {}. Delete it or choose another cache.disk.path", path_, why));
}

void DiskFile::lock() const {
  if (flock(table_fd_, LOCK_EX | LOCK_NB) == 0) return;
  throw Error(ErrorCode::kInvalidValue, fmt::format("{} is in use by another process: stop that one or choose another cache.disk.path", path_));
}

void DiskFile::make_or_check() {
  struct stat status = {};
  if (fstat(table_fd_, &status) != 0 || !S_ISREG(status.st_mode)) refuse("is not a regular file");
  if (status.st_size == 0) {
    try {
      reserve();
    } catch (const Error&) {
      unlink(path_.c_str());
      throw;
    }
    return;
  }
  std::vector<std::byte> header(DiskGeometry::kHeaderBytes);
  header.resize(read_at(table_fd_, header, 0));
  const std::optional<DiskGeometry> found = decode_header(header);
  if (!found) refuse("is not a file of cold pages, or was made by another version of terrace");
  if (found->digest != geometry_.digest) refuse("holds the pages of another model or another layout");
  if (*found != geometry_) {
    refuse(fmt::format("has {} frames of {} bytes and {} tokens, and {} frames of {} bytes and {} tokens are configured", found->num_frames,
                       found->page_bytes, found->page_tokens, geometry_.num_frames, geometry_.page_bytes, geometry_.page_tokens));
  }
  if (static_cast<size_t>(status.st_size) != geometry_.file_bytes()) reserve();  // its making was cut off
}

void DiskFile::reserve() const {
  const size_t bytes = geometry_.file_bytes();
  const auto no_room = [&](const std::string& why) {
    throw Error(ErrorCode::kIoError, fmt::format("cannot reserve {} MiB for cold pages in {}: {}. Make cache.disk.size smaller or free some room", bytes >> 20, path_, why));
  };
  struct statvfs room = {};
  struct stat file = {};
  if (fstat(table_fd_, &file) != 0) no_room(std::strerror(errno));
  const size_t has = std::min(bytes, static_cast<size_t>(file.st_blocks) * 512);  // where its making was cut off
  // Asked first: a file system that finds out half-way has filled itself up.
  if (fstatvfs(table_fd_, &room) == 0 && (bytes - has) / room.f_frsize > room.f_bavail) {
    no_room(fmt::format("{} MiB are free there", room.f_bavail * room.f_frsize >> 20));
  }
  if (!write_at(encode_header(geometry_), 0)) no_room(std::strerror(errno));
  int status = fallocate(table_fd_, 0, 0, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
  if (status == EOPNOTSUPP) status = posix_fallocate(table_fd_, 0, static_cast<off_t>(bytes));  // by writing
  if (status != 0 || ftruncate(table_fd_, static_cast<off_t>(bytes)) != 0) no_room(std::strerror(status != 0 ? status : errno));
}

bool DiskFile::write_at(const std::vector<std::byte>& bytes, uint64_t offset) const {
  ssize_t count;
  do {
    count = pwrite(table_fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
  } while (count < 0 && errno == EINTR);
  return count == static_cast<ssize_t>(bytes.size());
}

std::vector<std::optional<TableRecord>> DiskFile::read_table() const {
  std::vector<std::optional<TableRecord>> records = decode_table(geometry_, head_.subspan(geometry_.record_offset(0), geometry_.num_frames * geometry_.record_bytes()));
  records.resize(geometry_.num_frames);
  return records;
}

void DiskFile::write_record(uint32_t frame, const TableRecord& record) {
  std::ranges::copy(encode_record(geometry_, frame, record), head_.begin() + static_cast<std::ptrdiff_t>(geometry_.record_offset(frame)));
}

void DiskFile::clear_record(uint32_t frame) {
  std::ranges::fill(head_.subspan(geometry_.record_offset(frame), geometry_.record_bytes()), std::byte{0});
}

}  // namespace terrace
