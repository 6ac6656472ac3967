// The types that configuration values have: each says in words what it expects, reads a value from its text and writes it back.
// Pure; knows neither YAML nor the keys.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/page_layout.h"
#include "runtime/config.h"

namespace terrace {

/// Where in a Config a value of type T lives.
template <typename T>
using ConfigField = std::function<T&(Config&)>;

/// What a relative path is relative to, in a configuration file; in --set always to the current folder.
enum class PathBase { kNotAPath, kCurrentFolder, kConfigFolder };

struct ConfigType {
  std::string expected;                     // "a whole number from 1 to 64"
  std::vector<std::string_view> choices;    // where the value is one of a few words
  bool takes_quoted = false;                // a YAML string in quotes is fine: the value is text
  std::function<bool(Config&, std::string_view)> set;  // false: not such a value; the Config is then as before
  std::function<std::string(const Config&)> show;      // text that set() takes
  PathBase path = PathBase::kNotAPath;
};

ConfigType text_value(ConfigField<std::string> field, std::string expected);
ConfigType path_value(ConfigField<std::string> field, std::string expected, PathBase base = PathBase::kCurrentFolder);
ConfigType choice_value(ConfigField<std::string> field, std::vector<std::string_view> choices);
ConfigType flag_value(ConfigField<bool> field);
ConfigType integer_value(ConfigField<int32_t> field, int32_t low, int32_t high);
/// As integer_value, and the word `auto`, kept as 0.
ConfigType integer_or_auto_value(ConfigField<int32_t> field, int32_t low, int32_t high);
ConfigType power_of_two_value(ConfigField<int32_t> field, int32_t high);
/// Finite, from `low` (or above it) to `high`.
ConfigType real_value(ConfigField<double> field, double low, double high, bool above_low = false);
ConfigType dtype_value(ConfigField<DType> field, std::vector<DType> choices);
/// One of kKvFormats, in any case.
ConfigType kv_format_value(ConfigField<KvFormat> field);
/// "2GiB", "512 MiB", "1.5GB", "60%".
ConfigType memory_value(ConfigField<MemorySize> field);
ConfigType optional_memory_value(ConfigField<MemorySize> field);  // 0 is none
/// As these, without shares: where there is nothing that a share could be of.
ConfigType bytes_value(ConfigField<MemorySize> field);
ConfigType optional_bytes_value(ConfigField<MemorySize> field);

}  // namespace terrace
