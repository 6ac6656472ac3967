#include "launcher/batch/batch_output.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <unordered_map>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/batch/batch_input.h"

namespace terrace {
namespace {

namespace json = boost::json;

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

std::string read_whole(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1)) lines.push_back(text.substr(0, end));
  return lines;
}

std::string custom_id_of(const json::object& line) {
  const json::value* id = line.if_contains("custom_id");
  return id != nullptr && id->is_string() ? std::string(id->as_string()) : std::string();
}

bool is_failed(const json::object& line) {
  const json::value* response = line.if_contains("response");
  if (response == nullptr || !response->is_object()) return true;
  const json::value* status = response->as_object().if_contains("status_code");
  return status == nullptr || *status != 200;
}

}  // namespace

BatchOutput::BatchOutput(const std::string& path, bool retry_errors) : path_(path), last_sync_(std::chrono::steady_clock::now()) {
  file_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (file_ < 0) fail("open the output file", path);
  if (::flock(file_, LOCK_EX | LOCK_NB) != 0) {
    ::close(file_);
    throw Error(ErrorCode::kIoError, fmt::format("another run is writing {}: wait for it or name another --output", path));
  }
  load(retry_errors);
}

BatchOutput::~BatchOutput() {
  if (file_ >= 0) ::close(file_);
}

void BatchOutput::load(bool retry_errors) {
  const std::string text = read_whole(path_);
  size_ = static_cast<int64_t>(text.rfind('\n') + 1);  // npos + 1 == 0: no whole line
  repaired_bytes_ = static_cast<int64_t>(text.size()) - size_;
  std::vector<std::string_view> kept;
  bool dropped = false;
  int64_t number = 0;
  for (const std::string_view line : split_lines(text)) {
    ++number;
    try {
      const json::object object = parse_json_object(line);
      const bool retry = retry_errors && is_failed(object);
      if (!retry && done_.insert(custom_id_of(object)).second) {
        kept.push_back(line);
      } else {
        dropped = true;
      }
    } catch (const ApiError&) {
      throw Error(ErrorCode::kInvalidValue, fmt::format("{}:{} is not a result of a batch: name another --output or remove the file", path_, number));
    }
  }
  if (dropped) {
    replace_with(kept);
  } else if (repaired_bytes_ > 0 && ::ftruncate(file_, size_) != 0) {
    fail("cut the torn last line of", path_);
  }
}

void BatchOutput::append(const std::string& custom_id, std::string line) {
  line += '\n';
  try {
    write_all(file_, line, path_);
  } catch (const Error&) {
    [[maybe_unused]] const int best_effort = ::ftruncate(file_, size_);  // a torn line is cut at the next start anyway
    throw;
  }
  size_ += static_cast<int64_t>(line.size());
  unsynced_ = true;
  done_.insert(custom_id);
}

void BatchOutput::sync(bool now) {
  const auto time = std::chrono::steady_clock::now();
  if (!unsynced_ || (!now && time - last_sync_ < std::chrono::seconds(1))) return;
  if (::fdatasync(file_) != 0 && errno != EINVAL && errno != EROFS) fail("write", path_);  // EINVAL: a pipe or device has nothing to sync
  last_sync_ = time;
  unsynced_ = false;
}

void BatchOutput::sort(const std::vector<std::string>& custom_ids) {
  const std::string text = read_whole(path_);
  std::unordered_map<std::string, std::string_view> by_id;
  std::vector<std::string_view> others;  // results of lines that are no longer in the input stay, at the end
  for (const std::string_view line : split_lines(text)) by_id.emplace(custom_id_of(parse_json_object(line)), line);
  std::vector<std::string_view> sorted;
  for (const std::string& id : custom_ids) {
    if (const auto node = by_id.extract(id)) sorted.push_back(node.mapped());
  }
  for (const std::string_view line : split_lines(text)) {
    if (by_id.contains(custom_id_of(parse_json_object(line)))) others.push_back(line);
  }
  sorted.insert(sorted.end(), others.begin(), others.end());
  replace_with(sorted);
}

void BatchOutput::replace_with(const std::vector<std::string_view>& lines) {
  const std::string temporary = path_ + ".tmp";
  const int file = ::open(temporary.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (file < 0) fail("create", temporary);
  std::string text;
  for (const std::string_view line : lines) (text += line) += '\n';
  try {
    write_all(file, text, temporary);
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
  size_ = static_cast<int64_t>(text.size());
}

}  // namespace terrace
