// Makes a Config of what the user gave: a YAML file (or a model file directly) and --set options; remembers where each value came from.
// Strict: an unknown key, a key given twice, a wrong type or an impossible value is an Error(kInvalidValue or kUnknownKey) that says
// file:line:column, what was expected and perhaps what was meant. Main thread, before ranks start.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "runtime/config.h"

namespace terrace {

struct LoadedConfig {
  Config config;
  /// Key path -> "configs/smollm2.yaml:7:9", "--set" or "the command line"; a key that is not here has its default.
  std::map<std::string, std::string, std::less<>> origins;
};

/// `path` is a YAML file, or a model file (named *.gguf or beginning with "GGUF"). Each of `sets` is "key.path=value".
LoadedConfig load_config(const std::string& path, std::span<const std::string> sets);

/// The same from YAML text; `name` stands for the file in messages, and its folder is what a relative model.path is relative to.
LoadedConfig parse_config(std::string_view yaml, const std::string& name, std::span<const std::string> sets);

/// The file that `terrace VERB` reads of its model; kInvalidValue for a dummy, which has none.
std::string model_file_of(const Config& config, std::string_view verb);

/// Every key with its value and origin, as YAML with comments.
std::string explain_config(const LoadedConfig& loaded);

}  // namespace terrace
