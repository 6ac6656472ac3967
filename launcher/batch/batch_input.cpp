#include "launcher/batch/batch_input.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <unordered_map>

#include "kernels/base/error.h"
#include "launcher/api/api_error.h"
#include "launcher/api/json_body.h"

namespace terrace {

namespace json = boost::json;

std::string custom_id_of(const json::object& line) {
  const json::value* id = line.if_contains("custom_id");
  if (id == nullptr || !id->is_string() || id->as_string().empty()) throw ApiError(400, "the line has no 'custom_id' (a string)", "custom_id");
  return std::string(id->as_string());
}

BatchInput::BatchInput(const std::string& path) : file_(path) {
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";  // some editors put it before UTF-8
  std::string_view rest = file_.text();
  if (rest.starts_with(kByteOrderMark)) rest.remove_prefix(kByteOrderMark.size());
  for (int64_t number = 1; !rest.empty(); ++number) {
    const auto [text, after] = split_line(rest);
    rest = after;
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    BatchLine line{number, static_cast<size_t>(text.data() - file_.text().data()), text.size(), {}, true};
    try {
      line.custom_id = custom_id_of(parse_json_object(text, "the line"));
    } catch (const ApiError&) {
      line.custom_id = fmt::format("line:{}", number);
      line.readable = false;
    }
    lines_.push_back(std::move(line));
  }
  refuse_duplicates(path);
}

// Found again when it is written: a file of a million bad lines holds no million messages.
std::string BatchInput::problem(const BatchLine& line) const {
  try {
    custom_id_of(parse_json_object(text(line), "the line"));
  } catch (const ApiError& error) {
    return error.what();
  }
  return {};
}

void BatchInput::refuse_duplicates(const std::string& path) const {
  std::unordered_map<std::string_view, int64_t> seen;
  seen.reserve(lines_.size());
  for (const BatchLine& line : lines_) {
    const auto [first, inserted] = seen.emplace(line.custom_id, line.number);
    if (inserted) continue;
    throw Error(ErrorCode::kInvalidValue, fmt::format("{}: custom_id \"{}\" stands on line {} and again on line {}: each must be there once", path,
                                                      line.custom_id, first->second, line.number));
  }
}

}  // namespace terrace
