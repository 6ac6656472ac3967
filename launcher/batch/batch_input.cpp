#include "launcher/batch/batch_input.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <cerrno>
#include <cstring>
#include <unordered_map>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"

namespace terrace {

namespace json = boost::json;

json::object parse_json_object(std::string_view line) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  json::value value = json::parse(line, error, {}, options);
  if (error) throw ApiError(400, fmt::format("the line is not valid JSON: {}", error.message()), {}, "invalid_value");
  if (!value.is_object()) throw ApiError(400, "the line is not a JSON object", {}, "invalid_value");
  return std::move(value.as_object());
}

BatchInput::BatchInput(const std::string& path) {
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  struct stat info = {};
  if (file < 0 || ::fstat(file, &info) != 0 || !S_ISREG(info.st_mode)) {
    const int reason = file < 0 ? errno : EINVAL;
    if (file >= 0) ::close(file);
    throw Error(ErrorCode::kInvalidValue, fmt::format("cannot read the batch file {}: {}", path, std::strerror(reason)));
  }
  bytes_ = static_cast<size_t>(info.st_size);
  if (bytes_ > 0) {
    void* map = ::mmap(nullptr, bytes_, PROT_READ, MAP_PRIVATE, file, 0);
    ::close(file);
    if (map == MAP_FAILED) throw Error(ErrorCode::kInvalidValue, fmt::format("cannot map the batch file {}: {}", path, std::strerror(errno)));
    data_ = static_cast<const char*>(map);
  } else {
    ::close(file);
  }
  int64_t number = 1;
  for (size_t begin = 0; begin < bytes_; ++number) {
    const void* newline = std::memchr(data_ + begin, '\n', bytes_ - begin);
    const size_t end = newline == nullptr ? bytes_ : static_cast<size_t>(static_cast<const char*>(newline) - data_);
    index_line(begin, end, number);
    begin = end + 1;
  }
  refuse_duplicates(path);
}

BatchInput::~BatchInput() {
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), bytes_);
}

void BatchInput::index_line(size_t begin, size_t end, int64_t number) {
  const std::string_view text(data_ + begin, end - begin);
  if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
  BatchLine line{number, begin, text.size(), fmt::format("line:{}", number), false, {}};
  try {
    const json::object object = parse_json_object(text);
    const json::value* id = object.if_contains("custom_id");
    if (id == nullptr || !id->is_string() || id->as_string().empty()) throw ApiError(400, "the line has no 'custom_id' (a string)", "custom_id");
    line.custom_id = id->as_string();
    line.readable = true;
  } catch (const ApiError& error) {
    line.problem = error.what();
  }
  lines_.push_back(std::move(line));
}

void BatchInput::refuse_duplicates(const std::string& path) const {
  std::unordered_map<std::string_view, int64_t> seen;
  for (const BatchLine& line : lines_) {
    const auto [first, inserted] = seen.emplace(line.custom_id, line.number);
    if (inserted) continue;
    throw Error(ErrorCode::kInvalidValue, fmt::format("{}: custom_id \"{}\" stands on line {} and again on line {}: each must be there once", path,
                                                      line.custom_id, first->second, line.number));
  }
}

}  // namespace terrace
