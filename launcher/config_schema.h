// Every key that a configuration may have: one table, which the YAML reader, --set, --explain and docs/config.md all go by.
// A new key is one row here and one member in runtime/config.h. Immutable.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "launcher/config_value.h"

namespace terrace {

struct ConfigKey {
  std::string_view path;  // "cache.page_tokens"
  ConfigType type;
  std::string_view doc;   // one sentence or two
};

/// In the order of docs/config.md; keys of a section stand together.
const std::vector<ConfigKey>& config_keys();
/// nullptr where there is no such key.
const ConfigKey* find_config_key(std::string_view path);
/// True for "model", "model.geometry": a mapping, not a value.
bool is_config_section(std::string_view path);
/// "; did you mean 'cache.page_tokens'?" or "".
std::string suggest_config_key(std::string_view path);
/// docs/config.md, whole.
std::string config_reference();

}  // namespace terrace
