#include "launcher/bench/load_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <functional>
#include <random>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "launcher/batch/mapped_text.h"
#include "launcher/bench/synthetic_text.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kCompletions = "/v1/completions";
constexpr const char* kChat = "/v1/chat/completions";

std::string finish_body(json::object body, const BodyOptions& options) {
  for (const auto& [key, value] : options.extra) body.emplace(key, value);
  if (!options.model.empty()) body.emplace("model", options.model);
  if (options.ignore_eos) body.emplace("ignore_eos", true);
  body["stream"] = true;
  body["stream_options"] = json::object{{"include_usage", true}};
  return json::serialize(body);
}

LoadRequest text_request(const std::string& text, int32_t output_tokens, bool chat, const BodyOptions& options) {
  json::object body{{"max_tokens", output_tokens}};
  if (chat) {
    body["messages"] = json::array{json::object{{"role", "user"}, {"content", text}}};
  } else {
    body["prompt"] = text;
  }
  return {.path = chat ? kChat : kCompletions, .body = finish_body(std::move(body), options), .at_seconds = {}};
}

class SyntheticSource final : public LoadSource {
 public:
  SyntheticSource(const SyntheticLengths& lengths, BodyOptions options) : lengths_(lengths), options_(std::move(options)) {}

  std::optional<int64_t> size() const override { return std::nullopt; }
  LoadRequest request(int64_t number) const override {
    std::seed_seq seeds{lengths_.seed, static_cast<uint64_t>(number)};
    std::mt19937_64 random(seeds);
    const auto between = [&](int32_t from, int32_t to) { return from + static_cast<int32_t>(random() % static_cast<uint64_t>(to - from + 1)); };
    const int32_t input = between(lengths_.input_from, lengths_.input_to);
    const int32_t output = between(lengths_.output_from, lengths_.output_to);
    const int32_t shared = std::min(lengths_.shared_prefix, input);
    std::string text = synthetic_text(shared, lengths_.seed);
    text += synthetic_text(input - shared, random());
    return text_request(text, output, lengths_.chat, options_);
  }

 private:
  SyntheticLengths lengths_;
  BodyOptions options_;
};

class ListSource final : public LoadSource {
 public:
  explicit ListSource(std::vector<LoadRequest> requests) : requests_(std::move(requests)) {}
  std::optional<int64_t> size() const override { return static_cast<int64_t>(requests_.size()); }
  LoadRequest request(int64_t number) const override { return requests_[static_cast<size_t>(number) % requests_.size()]; }

 private:
  std::vector<LoadRequest> requests_;
};

struct TraceRow {
  double at_seconds = 0;
  int32_t input_tokens = 0;
  int32_t output_tokens = 0;
  std::vector<uint64_t> ids;
};

class TraceSource final : public LoadSource {
 public:
  TraceSource(std::vector<TraceRow> rows, int32_t page_tokens, bool chat, BodyOptions options)
      : rows_(std::move(rows)), page_tokens_(page_tokens), chat_(chat), options_(std::move(options)) {}

  std::optional<int64_t> size() const override { return static_cast<int64_t>(rows_.size()); }
  LoadRequest request(int64_t number) const override {
    const auto index = static_cast<size_t>(number) % rows_.size();
    const TraceRow& row = rows_[index];
    std::string text;
    int32_t left = row.input_tokens;
    for (const uint64_t id : row.ids) {
      text += synthetic_text(std::min(left, page_tokens_), id);
      left -= std::min(left, page_tokens_);
    }
    std::seed_seq seeds{uint64_t{index}, uint64_t{0x7261}};  // what no id names is this row's own
    std::mt19937_64 random(seeds);
    text += synthetic_text(left, random());
    LoadRequest request = text_request(text, row.output_tokens, chat_, options_);
    request.at_seconds = row.at_seconds + static_cast<double>(number / *size()) * rows_.back().at_seconds;
    return request;
  }

 private:
  std::vector<TraceRow> rows_;
  int32_t page_tokens_;
  bool chat_;
  BodyOptions options_;
};

/// Calls `read` for each line that is not blank; it returns "" or what is wrong.
void read_lines(const std::string& path, const char* example, const std::function<std::string(const json::object&)>& read) {
  const MappedText file(path);
  int64_t number = 0, taken = 0;
  for (std::string_view rest = file.text(); !rest.empty();) {
    const auto [line, after] = split_line(rest);
    rest = after;
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    boost::system::error_code failed;
    const json::value value = json::parse(line, failed);
    const std::string problem = failed || !value.is_object() ? "it is not a JSON object" : read(value.get_object());
    if (!problem.empty()) throw Error(ErrorCode::kInvalidValue, fmt::format("{}, line {}: {}; a line is like {}", path, number, problem, example));
    ++taken;
  }
  if (taken == 0) throw Error(ErrorCode::kInvalidValue, fmt::format("{} holds no requests", path));
}

std::optional<double> number_of(const json::object& row, const char* key) {
  const json::value* value = row.if_contains(key);
  if (value == nullptr || !value->is_number()) return std::nullopt;
  return value->to_number<double>();
}

std::string read_trace_row(const json::object& row, double speed, std::vector<TraceRow>& rows) {
  constexpr double kMost = 1e9;
  const std::optional<double> at = number_of(row, "timestamp"), input = number_of(row, "input_length"), output = number_of(row, "output_length");
  if (!at || !input || !output) return "timestamp, input_length and output_length must be numbers";
  if (*at < 0 || *input < 1 || *output < 1 || *input > kMost || *output > kMost) return "a time or a length is out of range";
  TraceRow result{*at / 1000 / speed, static_cast<int32_t>(*input), static_cast<int32_t>(*output), {}};
  if (const json::value* ids = row.if_contains("hash_ids")) {
    if (!ids->is_array()) return "hash_ids is not a list";
    for (const json::value& id : ids->get_array()) {
      if (!id.is_int64() && !id.is_uint64()) return "hash_ids holds what is not a whole number";
      result.ids.push_back(id.is_int64() ? static_cast<uint64_t>(id.get_int64()) : id.get_uint64());
    }
  }
  if (!rows.empty() && result.at_seconds < rows.back().at_seconds) return "its timestamp is before that of the line above";
  rows.push_back(std::move(result));
  return "";
}

}  // namespace

std::unique_ptr<LoadSource> make_synthetic_source(const SyntheticLengths& lengths, const BodyOptions& options) {
  return std::make_unique<SyntheticSource>(lengths, options);
}

std::unique_ptr<LoadSource> read_dataset_source(const std::string& path, const BodyOptions& options) {
  std::vector<LoadRequest> requests;
  read_lines(path, R"({"prompt": "Once", "max_tokens": 20} or {"messages": [...], "max_tokens": 20})", [&](const json::object& line) -> std::string {
    const json::value* inner = line.if_contains("body");
    if (inner != nullptr && !inner->is_object()) return "its body is not an object";
    json::object body = inner != nullptr ? inner->get_object() : line;
    const bool chat = body.contains("messages");
    if (!chat && !body.contains("prompt")) return "it has neither prompt nor messages";
    requests.push_back({.path = chat ? kChat : kCompletions, .body = finish_body(std::move(body), options), .at_seconds = {}});
    return "";
  });
  return std::make_unique<ListSource>(std::move(requests));
}

std::unique_ptr<LoadSource> read_trace_source(const std::string& path, int32_t page_tokens, double speed, bool chat, const BodyOptions& options) {
  std::vector<TraceRow> rows;
  read_lines(path, R"({"timestamp": 0, "input_length": 1024, "output_length": 1, "hash_ids": [0, 1]})",
             [&](const json::object& row) { return read_trace_row(row, speed, rows); });
  return std::make_unique<TraceSource>(std::move(rows), page_tokens, chat, options);
}

}  // namespace terrace
