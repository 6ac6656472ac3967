#include "launcher/api/json_body.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <utility>

#include "launcher/api/api_error.h"

namespace terrace {

namespace json = boost::json;

json::object parse_json_object(std::string_view text, std::string_view what) {
  json::error_code error;
  json::parse_options options;
  options.max_depth = 64;
  json::value value = json::parse(text, error, {}, options);
  if (error) throw ApiError(400, fmt::format("{} is not valid JSON: {}", what, error.message()));
  if (!value.is_object()) throw ApiError(400, fmt::format("{} is not a JSON object", what));
  return std::move(value.as_object());
}

}  // namespace terrace
