// Paths as people write them in a configuration: "~/models/x.gguf", "${TERRACE_CACHE}/models/x.gguf", "../x.gguf".
#pragma once

#include <string>
#include <string_view>

namespace terrace {

/// Expands a leading `~` and every `${NAME}`, and makes a relative path relative to `folder` ("": the current one). `place` begins the
/// message of the Error(kInvalidValue) where a variable is not set. ${TERRACE_CACHE} is ~/.cache/terrace where it is not set.
std::string expand_path(std::string_view text, const std::string& folder, const std::string& place);

}  // namespace terrace
