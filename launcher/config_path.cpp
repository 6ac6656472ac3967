#include "launcher/config_path.h"

#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

#include "kernels/base/error.h"

namespace terrace {
namespace {

std::string variable(const std::string& name, const std::string& place) {
  if (const char* value = std::getenv(name.c_str())) return value;
  if (name == "TERRACE_CACHE") return variable("HOME", place) + "/.cache/terrace";
  throw Error(ErrorCode::kInvalidValue, fmt::format("{}: the environment variable {} is not set; set it or write the path out", place, name));
}

}  // namespace

std::string expand_path(std::string_view text, const std::string& folder, const std::string& place) {
  std::string path;
  if (text == "~" || text.starts_with("~/")) {
    path = variable("HOME", place);
    text.remove_prefix(1);
  }
  while (!text.empty()) {
    const size_t begin = text.find("${");
    path += text.substr(0, begin);
    if (begin == text.npos) break;
    const size_t end = text.find('}', begin);
    if (end == text.npos) throw Error(ErrorCode::kInvalidValue, fmt::format("{}: '${{' without a closing '}}'", place));
    path += variable(std::string(text.substr(begin + 2, end - begin - 2)), place);
    text.remove_prefix(end + 1);
  }
  const std::filesystem::path result = std::filesystem::path(folder) / path;  // an absolute `path` replaces the folder
  return result.lexically_normal().string();
}

}  // namespace terrace
