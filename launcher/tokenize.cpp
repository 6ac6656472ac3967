#include "launcher/tokenize.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <istream>
#include <iterator>
#include <memory>
#include <ostream>

#include "kernels/base/error.h"
#include "runtime/model/gguf.h"
#include "runtime/text/tokenizer.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

namespace json = boost::json;

std::string encode(const Tokenizer& tokenizer, const TokenizeOptions& options, std::string_view text) {
  const std::vector<int32_t> ids =
      tokenizer.encode(text, {.add_bos = !options.no_bos, .parse_special = !options.no_special});
  return fmt::format("[{}]", fmt::join(ids, ","));
}

json::value parse_json(std::string_view text, std::string_view wanted) {
  require_utf8(text);
  json::error_code error;
  json::value value = json::parse(text, error);
  if (error)
    throw Error(ErrorCode::kInvalidValue, fmt::format("expected {}, found no JSON: {}", wanted, error.message()));
  return value;
}

std::string decode(const Tokenizer& tokenizer, const TokenizeOptions& options, std::string_view text) {
  const json::value value = parse_json(text, "a JSON list of token ids");
  const json::array* list = value.if_array();
  if (list == nullptr) throw Error(ErrorCode::kInvalidValue, "expected a JSON list of token ids");
  std::vector<int32_t> ids;
  ids.reserve(list->size());
  for (const json::value& entry : *list) {
    json::error_code error;
    ids.push_back(entry.is_number() ? entry.to_number<int32_t>(error) : (error = json::error::not_number, 0));
    if (error) {
      throw Error(ErrorCode::kInvalidValue,
                  fmt::format("entry {} of the list, {}, is no token id", ids.size() - 1, json::serialize(entry)));
    }
  }
  return tokenizer.decode(ids, !options.no_special);
}

std::string convert_line(const Tokenizer& tokenizer, const TokenizeOptions& options, std::string_view line) {
  try {
    if (options.decode) return json::serialize(json::string(to_valid_utf8(decode(tokenizer, options, line))));
    const json::value value = parse_json(line, "a JSON string");
    if (!value.is_string()) throw Error(ErrorCode::kInvalidValue, "expected a JSON string");
    return encode(tokenizer, options, value.get_string());
  } catch (const Error& error) {
    return json::serialize(json::object{{"error", error.what()}});
  }
}

}  // namespace

int run_tokenize(const TokenizeOptions& options, std::istream& in, std::ostream& out) {
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(GgufFile::open(options.model_path));
  if (options.jsonl) {
    for (std::string line; out && std::getline(in, line);) {
      if (!line.empty()) out << convert_line(*tokenizer, options, line) << '\n';
    }
  } else {
    const std::string text{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
    if (options.decode) {
      out << decode(*tokenizer, options, text);
    } else {
      out << encode(*tokenizer, options, text) << '\n';
    }
  }
  if (!out.flush())
    throw Error(ErrorCode::kIoError, "The tokens could not be written to standard output: disk full or pipe closed.");
  return 0;
}

}  // namespace terrace
