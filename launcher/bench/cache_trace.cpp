#include "launcher/bench/cache_trace.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string_view>

#include "kernels/base/error.h"
#include "launcher/batch/mapped_text.h"

namespace terrace {
namespace {

/// "" and the row, or what is wrong with the line.
std::string read_row(std::string_view line, std::vector<int64_t>& ids, int32_t& answer_tokens) {
  ids.clear();
  boost::system::error_code failed;
  const boost::json::value row = boost::json::parse(line, failed);
  if (failed || !row.is_object()) return "it is not a JSON object";
  const boost::json::value* list = row.as_object().if_contains("hash_ids");
  if (list == nullptr || !list->is_array()) return "it has no list hash_ids";
  for (const boost::json::value& id : list->as_array()) {
    if (id.is_int64()) {
      ids.push_back(id.as_int64());
    } else if (id.is_uint64()) {
      ids.push_back(static_cast<int64_t>(id.as_uint64()));
    } else {
      return "hash_ids holds what is not a whole number";
    }
  }
  const boost::json::value* answer = row.as_object().if_contains("output_length");
  answer_tokens = -1;
  if (answer == nullptr) return "";
  if (!answer->is_int64() || answer->as_int64() < 0 || answer->as_int64() > INT32_MAX) return "output_length is not a number of tokens";
  answer_tokens = static_cast<int32_t>(answer->as_int64());
  return "";
}

}  // namespace

void CacheTrace::add(const std::vector<int64_t>& ids, int32_t answer_tokens) {
  answers.push_back(answer_tokens);
  std::vector<uint32_t>& row = rows.emplace_back();
  uint32_t parent = kTraceRoot;
  for (const int64_t id : ids) {
    const auto [found, fresh] = numbers_.try_emplace({parent, id}, static_cast<uint32_t>(parents.size()));
    if (fresh) parents.push_back(parent);
    parent = found->second;
    row.push_back(parent);
  }
  num_page_uses += static_cast<int64_t>(row.size());
}

CacheTrace read_cache_trace(const std::string& path) {
  const MappedText file(path);
  CacheTrace trace;
  std::vector<int64_t> ids;
  int32_t answer_tokens = -1;
  int64_t number = 0;
  for (std::string_view rest = file.text(); !rest.empty();) {
    const auto [line, after] = split_line(rest);
    rest = after;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    const std::string problem = read_row(line, ids, answer_tokens);
    if (!problem.empty()) {
      throw Error(
          ErrorCode::kInvalidValue,
          fmt::format(
              R"({}, line {}: {}; a line is like {{"timestamp": 0, "input_length": 1024, "output_length": 1, "hash_ids": [0, 1]}})",
              path, number, problem));
    }
    trace.add(ids, answer_tokens);
  }
  if (trace.num_page_uses == 0)
    throw Error(ErrorCode::kInvalidValue, fmt::format("{} holds no pages: there is nothing to play", path));
  return trace;
}

}  // namespace terrace
