#include "launcher/config_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace terrace {
namespace {

/// `read` turns text into a value, or nothing.
template <typename T, typename Read>
auto setter(ConfigField<T> field, Read read) {
  return [field = std::move(field), read = std::move(read)](Config& config, std::string_view text) {
    const std::optional<T> value = read(text);
    if (value) field(config) = *value;
    return value.has_value();
  };
}

template <typename T>
T read_field(const ConfigField<T>& field, const Config& config) {
  return field(const_cast<Config&>(config));  // the accessors only name a member
}

template <typename T>
std::optional<T> parse_number(std::string_view text) {
  T value{};
  const auto [end, status] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (status != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<int32_t> parse_integer(std::string_view text, int32_t low, int32_t high) {
  const std::optional<int64_t> value = parse_number<int64_t>(text);
  if (!value || *value < low || *value > high) return std::nullopt;
  return static_cast<int32_t>(*value);
}

constexpr double kKi = 1024.0;
struct SizeUnit {
  std::string_view name;
  double bytes;
};
constexpr SizeUnit kSizeUnits[] = {
    {"KiB", kKi}, {"MiB", kKi * kKi}, {"GiB", kKi * kKi * kKi}, {"TiB", kKi * kKi * kKi * kKi},
    {"KB", 1e3},  {"MB", 1e6},        {"GB", 1e9},              {"TB", 1e12},
    {"B", 1},
};

std::optional<MemorySize> parse_memory(std::string_view text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::optional<double> number = parse_number<double>(text.substr(0, digits));
  std::string_view unit = text.substr(digits);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  if (!number || !std::isfinite(*number)) return std::nullopt;
  if (unit == "%") return *number > 0 && *number <= 100 ? std::optional(MemorySize{0, *number}) : std::nullopt;
  for (const SizeUnit& known : kSizeUnits) {
    const double bytes = *number * known.bytes;
    if (unit == known.name && bytes >= 1 && bytes < 0x1p62) return MemorySize{static_cast<int64_t>(bytes), 0};
  }
  return std::nullopt;
}

std::string show_memory(const MemorySize& size) {
  if (size.percent > 0) return fmt::format("{}%", size.percent);
  for (const SizeUnit unit : {kSizeUnits[2], kSizeUnits[1], kSizeUnits[0]}) {
    const auto bytes = static_cast<int64_t>(unit.bytes);
    if (size.bytes % bytes == 0) return fmt::format("{}{}", size.bytes / bytes, unit.name);
  }
  return fmt::format("{}B", size.bytes);
}

std::string one_of(const std::vector<std::string_view>& choices) {
  if (choices.size() == 1) return fmt::format("'{}' (nothing else yet)", choices[0]);
  return fmt::format("one of {}", fmt::join(choices, ", "));
}

/// A size's type where there is nothing that a share could be of.
ConfigType without_shares(ConfigType type, std::string expected) {
  type.expected = std::move(expected);
  type.set = [set = type.set](Config& config, std::string_view text) { return text.find('%') == std::string_view::npos && set(config, text); };
  return type;
}

}  // namespace

ConfigType text_value(ConfigField<std::string> field, std::string expected) {
  const auto read = [](std::string_view text) {
    return text.empty() || text.find('\0') != text.npos ? std::nullopt : std::optional(std::string(text));
  };
  return {std::move(expected), {}, true, setter(field, read),
          [field](const Config& config) { return read_field(field, config); }};
}

ConfigType path_value(ConfigField<std::string> field, std::string expected, PathBase base) {
  ConfigType type = text_value(std::move(field), std::move(expected));
  type.path = base;
  return type;
}

ConfigType choice_value(ConfigField<std::string> field, std::vector<std::string_view> choices) {
  const auto read = [choices](std::string_view text) {
    const bool known = std::find(choices.begin(), choices.end(), text) != choices.end();
    return known ? std::optional(std::string(text)) : std::nullopt;
  };
  return {one_of(choices), choices, true, setter(field, read),
          [field](const Config& config) { return read_field(field, config); }};
}

ConfigType flag_value(ConfigField<bool> field) {
  const auto read = [](std::string_view text) {
    return text == "true" || text == "false" ? std::optional(text == "true") : std::nullopt;
  };
  return {"true or false", {"true", "false"}, false, setter(field, read),
          [field](const Config& config) { return std::string(read_field(field, config) ? "true" : "false"); }};
}

ConfigType integer_value(ConfigField<int32_t> field, int32_t low, int32_t high) {
  const auto read = [low, high](std::string_view text) { return parse_integer(text, low, high); };
  return {fmt::format("a whole number from {} to {}", low, high), {}, false, setter(field, read),
          [field](const Config& config) { return fmt::to_string(read_field(field, config)); }};
}

ConfigType integer_or_auto_value(ConfigField<int32_t> field, int32_t low, int32_t high) {
  const auto read = [low, high](std::string_view text) {
    return text == "auto" ? std::optional<int32_t>(0) : parse_integer(text, low, high);
  };
  const auto show = [field](const Config& config) {
    const int32_t value = read_field(field, config);
    return value == 0 ? std::string("auto") : fmt::to_string(value);
  };
  return {fmt::format("auto, or a whole number from {} to {}", low, high), {}, false, setter(field, read), show};
}

ConfigType power_of_two_value(ConfigField<int32_t> field, int32_t high) {
  const auto read = [high](std::string_view text) {
    const std::optional<int32_t> value = parse_integer(text, 1, high);
    return value && (*value & (*value - 1)) == 0 ? value : std::nullopt;
  };
  return {fmt::format("a power of two from 1 to {}", high), {}, false, setter(field, read),
          [field](const Config& config) { return fmt::to_string(read_field(field, config)); }};
}

ConfigType real_value(ConfigField<double> field, double low, double high, bool above_low) {
  const auto read = [=](std::string_view text) {
    const std::optional<double> value = parse_number<double>(text);
    const bool fits = value && *value <= high && (above_low ? *value > low : *value >= low);
    return fits ? value : std::nullopt;  // NaN fits nowhere
  };
  const std::string expected = fmt::format("a number {} {}, at most {}", above_low ? "above" : "from", low, high);
  return {expected, {}, false, setter(field, read),
          [field](const Config& config) { return fmt::to_string(read_field(field, config)); }};
}

ConfigType dtype_value(ConfigField<DType> field, std::vector<DType> choices) {
  std::vector<std::string_view> names;
  for (const DType choice : choices) names.push_back(dtype_info(choice).name);
  const auto read = [choices](std::string_view text) {
    const std::optional<DType> value = dtype_from_name(text);
    const bool known = value && std::find(choices.begin(), choices.end(), *value) != choices.end();
    return known ? value : std::nullopt;
  };
  return {one_of(names), names, true, setter(field, read),
          [field](const Config& config) { return std::string(dtype_info(read_field(field, config)).name); }};
}

ConfigType kv_format_value(ConfigField<KvFormat> field) {
  std::vector<std::string_view> names;
  for (const NamedKvFormat& named : kKvFormats) names.push_back(named.name);
  const auto same_letter = [](char a, char b) { return std::toupper(static_cast<unsigned char>(a)) == std::toupper(static_cast<unsigned char>(b)); };
  const auto read = [same_letter](std::string_view text) -> std::optional<KvFormat> {
    for (const NamedKvFormat& named : kKvFormats) {
      if (std::equal(text.begin(), text.end(), named.name.begin(), named.name.end(), same_letter)) return named.format;
    }
    return std::nullopt;
  };
  return {one_of(names), names, true, setter(field, read),
          [field](const Config& config) { return std::string(kv_format_name(read_field(field, config))); }};
}

ConfigType optional_memory_value(ConfigField<MemorySize> field) {
  const auto parse = [](std::string_view text) { return text == "0" ? std::optional(MemorySize{}) : parse_memory(text); };
  return {"a size like 512MiB or 2GiB, a share like 60%, or 0", {}, true, setter(field, parse), [field](const Config& config) {
            const MemorySize& size = read_field(field, config);
            return size.bytes == 0 && size.percent == 0 ? std::string("0") : show_memory(size);
          }};
}

ConfigType memory_value(ConfigField<MemorySize> field) {
  return {"a size like 512MiB or 2GiB, or a share like 60%", {}, true, setter(field, parse_memory),
          [field](const Config& config) { return show_memory(read_field(field, config)); }};
}

ConfigType bytes_value(ConfigField<MemorySize> field) { return without_shares(memory_value(field), "a size like 512MiB or 2GiB"); }

ConfigType optional_bytes_value(ConfigField<MemorySize> field) { return without_shares(optional_memory_value(field), "a size like 512MiB or 2GiB, or 0"); }

}  // namespace terrace
