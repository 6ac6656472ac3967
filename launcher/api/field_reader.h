// Reads the fields of a JSON object strictly: each field is asked for once, with its type and range; what is left over at the end is an
// unknown field. Every complaint is an ApiError(400) that names the field.
#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

class FieldReader {
 public:
  /// `object` outlives the reader. `prefix` is put before field names in messages ("stream_options.").
  explicit FieldReader(const boost::json::object& object, std::string prefix = {}) : object_(object), prefix_(std::move(prefix)) {}

  // A missing field and a null are both nullopt.
  std::optional<int64_t> integer(std::string_view name, int64_t min, int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::string> string(std::string_view name);
  /// The raw value; nullptr when missing or null.
  const boost::json::value* value(std::string_view name);
  void ignore(std::string_view name) { seen_.insert(name); }
  /// Throws for a field that was never asked for, naming the nearest known one. One that is null asks for nothing: some clients send all that they know.
  void finish() const;
  [[noreturn]] void fail(std::string_view name, std::string_view expected) const;

 private:
  const boost::json::object& object_;
  std::string prefix_;
  std::set<std::string_view> seen_;
};

}  // namespace terrace
