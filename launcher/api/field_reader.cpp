#include "launcher/api/field_reader.h"

#include <fmt/format.h>

#include <cmath>

#include "launcher/api/api_error.h"
#include "launcher/suggest.h"

namespace terrace {

void FieldReader::fail(std::string_view name, std::string_view expected) const {
  const std::string field = prefix_ + std::string(name);
  throw ApiError(400, fmt::format("'{}' must be {}", field, expected), field);
}

const boost::json::value* FieldReader::value(std::string_view name) {
  seen_.insert(name);
  const boost::json::value* found = object_.if_contains(name);
  return found == nullptr || found->is_null() ? nullptr : found;
}

std::optional<int64_t> FieldReader::integer(std::string_view name, int64_t min, int64_t max) {
  const boost::json::value* found = value(name);
  if (found == nullptr) return std::nullopt;
  boost::json::error_code error;
  const auto number = found->to_number<int64_t>(error);  // takes 5.0 as 5, refuses 5.5
  if (error || number < min || number > max) fail(name, fmt::format("an integer from {} to {}", min, max));
  return number;
}

std::optional<double> FieldReader::number(std::string_view name, double min, double max) {
  const boost::json::value* found = value(name);
  if (found == nullptr) return std::nullopt;
  boost::json::error_code error;
  const auto number = found->to_number<double>(error);
  if (error || !std::isfinite(number) || number < min || number > max) fail(name, fmt::format("a number from {} to {}", min, max));
  return number;
}

std::optional<bool> FieldReader::boolean(std::string_view name) {
  const boost::json::value* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_bool()) fail(name, "true or false");
  return found->as_bool();
}

std::optional<std::string> FieldReader::string(std::string_view name) {
  const boost::json::value* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) fail(name, "a string");
  return std::string(found->as_string());
}

void FieldReader::finish() const {
  for (const auto& member : object_) {
    if (seen_.contains(std::string_view(member.key())) || member.value().is_null()) continue;
    const std::string field = prefix_ + std::string(member.key());
    const std::vector<std::string_view> known(seen_.begin(), seen_.end());
    const std::string hint = did_you_mean(std::string_view(member.key()), known);
    throw ApiError(400, fmt::format("unknown field '{}'{}", field, hint), field, "unknown_key");
  }
}

}  // namespace terrace
