#include "runtime/text/spaces.h"

#include <charconv>
#include <cstdint>

namespace terrace {
namespace {

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string replaced;
  replaced.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const size_t next = text.find(from, at);
    replaced += text.substr(at, next == std::string_view::npos ? next : next - at);
    if (next == std::string_view::npos) break;
    replaced += to;
    at = next + from.size();
  }
  return replaced;
}

}  // namespace

std::string escape_spaces(std::string_view text) { return replace_all(text, " ", kSpaceMark); }
std::string unescape_spaces(std::string_view text) { return replace_all(text, kSpaceMark, " "); }

std::optional<char> byte_of_token(std::string_view text) {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  uint8_t byte = 0;
  const char* const digits = text.data() + 3;
  const auto [end, error] = std::from_chars(digits, digits + 2, byte, 16);
  if (error != std::errc() || end != digits + 2) return std::nullopt;
  return static_cast<char>(byte);
}

}  // namespace terrace
