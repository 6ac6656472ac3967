#include "launcher/batch/batch_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <unordered_map>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/json_body.h"
#include "launcher/batch/batch_input.h"
#include "launcher/batch/mapped_text.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr std::string_view kLineStart = R"({"id":"batch_req_)";  // of every line that a batch writes, so of a torn one too

[[noreturn]] void fail(const char* action, const std::string& path) {
  throw Error(ErrorCode::kIoError, fmt::format("cannot {} {}: {}", action, path, std::strerror(errno)));
}

void write_all(int file, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(file, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) fail("write", path);
    bytes.remove_prefix(static_cast<size_t>(written));
  }
}

std::string open_path(const std::string& path) {
  std::error_code ignored;
  const auto target = std::filesystem::canonical(path, ignored);  // a rename must replace what a link points to, not the link
  return ignored ? path : target.string();
}

// The whole lines of `text`, without their newlines; what follows the last newline is torn and left out.
std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) lines.push_back(text.substr(0, end));
  return lines;
}

struct Result {
  std::string custom_id;
  bool failed = false;
};

// Throws ApiError for what is not a line of a batch's output: the caller's file is somebody else's then.
Result read_result(std::string_view line) {
  const json::object object = parse_json_object(line, "the line");
  const json::value* response = object.if_contains("response");
  if (response == nullptr || !object.contains("error")) throw ApiError(400, "the line is not a result");
  const json::value* status = response->is_object() ? response->as_object().if_contains("status_code") : nullptr;
  return {custom_id_of(object), status == nullptr || *status != 200};
}

int64_t write_lines(int file, const std::vector<std::string_view>& lines, const std::string& path) {
  constexpr size_t kChunk = 1 << 20;
  int64_t size = 0;
  std::string chunk;
  const auto flush = [&] {
    write_all(file, chunk, path);
    size += static_cast<int64_t>(chunk.size());
    chunk.clear();
  };
  for (const std::string_view line : lines) {
    (chunk += line) += '\n';
    if (chunk.size() >= kChunk) flush();
  }
  flush();
  return size;
}

}  // namespace

BatchOutput::BatchOutput(const std::string& path, bool retry_errors) : path_(open_path(path)), last_sync_(std::chrono::steady_clock::now()) {
  file_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK, 0644);
  if (file_ < 0) fail("open the output file", path_);
  try {
    struct stat status = {};
    if (::fstat(file_, &status) != 0 || !S_ISREG(status.st_mode)) {
      throw Error(ErrorCode::kIoError, fmt::format("{} is not a regular file: a batch's output must be one, so that a stopped run can go on", path_));
    }
    if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
      throw Error(ErrorCode::kIoError, fmt::format("another run is writing {}: wait for it or name another --output", path_));
    }
    load(retry_errors);
  } catch (...) {
    ::close(file_);
    throw;
  }
}

BatchOutput::~BatchOutput() {
  if (file_ >= 0) ::close(file_);
}

void BatchOutput::load(bool retry_errors) {
  const MappedText file(path_);
  const std::string_view text = file.text();
  const auto refuse_foreign = [&](std::string_view line) {
    const auto number = 1 + std::count(text.data(), line.data(), '\n');
    throw Error(ErrorCode::kInvalidValue, fmt::format("{}:{} is not a result of a batch: name another --output or remove the file", path_, number));
  };
  size_ = static_cast<int64_t>(text.rfind('\n') + 1);  // npos + 1 == 0: no whole line
  repaired_bytes_ = static_cast<int64_t>(text.size()) - size_;
  const std::string_view torn = text.substr(static_cast<size_t>(size_));
  if (torn.substr(0, kLineStart.size()) != kLineStart.substr(0, torn.size())) refuse_foreign(torn);
  std::vector<std::string_view> kept;
  bool dropped = false;
  for (const std::string_view line : split_lines(text)) {
    try {
      Result result = read_result(line);
      const bool keep = !(retry_errors && result.failed) && done_.insert(std::move(result.custom_id)).second;
      if (keep) kept.push_back(line);
      num_failed_ += keep && result.failed;
      dropped |= !keep;
    } catch (const ApiError&) {
      refuse_foreign(line);
    }
  }
  if (dropped) {
    replace_with(kept);
  } else if (repaired_bytes_ > 0 && ::ftruncate(file_, size_) != 0) {
    fail("cut the torn last line of", path_);
  }
}

void BatchOutput::append(std::string line) {
  line += '\n';
  try {
    write_all(file_, line, path_);
  } catch (const Error&) {
    [[maybe_unused]] const int best_effort = ::ftruncate(file_, size_);  // a torn line is cut at the next start anyway
    throw;
  }
  size_ += static_cast<int64_t>(line.size());
  unsynced_ = true;
}

void BatchOutput::sync(bool now) {
  const auto time = std::chrono::steady_clock::now();
  if (!unsynced_ || (!now && time - last_sync_ < std::chrono::seconds(1))) return;
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != EROFS) fail("write", path_);  // EINVAL: a pipe or device has nothing to sync
  last_sync_ = time;
  unsynced_ = false;
}

void BatchOutput::sort(const std::vector<std::string>& custom_ids) {
  const MappedText file(path_);
  std::unordered_map<std::string_view, size_t> place;
  for (const std::string& id : custom_ids) place.emplace(id, place.size());
  std::vector<std::pair<size_t, std::string_view>> lines;
  for (const std::string_view line : split_lines(file.text())) {
    const auto it = place.find(read_result(line).custom_id);
    lines.emplace_back(it == place.end() ? place.size() : it->second, line);  // results of lines no longer in the input stay, at the end
  }
  const auto by_place = [](const auto& a, const auto& b) { return a.first < b.first; };
  if (std::ranges::is_sorted(lines, by_place)) return;
  std::ranges::stable_sort(lines, by_place);
  std::vector<std::string_view> sorted;
  for (const auto& [index, line] : lines) sorted.push_back(line);
  replace_with(sorted);
}

void BatchOutput::replace_with(const std::vector<std::string_view>& lines) {
  const std::string temporary = path_ + ".tmp";
  const int file = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail("create", temporary);
  int64_t size = 0;
  try {
    size = write_lines(file, lines, temporary);
    if (::fsync(file) != 0) fail("write", temporary);
    // The lock goes with the new file, which is held before the old one is let go.
    if (::flock(file, LOCK_EX | LOCK_NB) != 0 || ::rename(temporary.c_str(), path_.c_str()) != 0) fail("replace", path_);
  } catch (const Error&) {
    ::close(file);
    ::unlink(temporary.c_str());
    throw;
  }
  ::close(file_);
  file_ = file;
  size_ = size;
}

}  // namespace terrace
