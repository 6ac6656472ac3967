#include "launcher/api/multipart.h"

#include <algorithm>

#include "launcher/api/api_error.h"
#include "launcher/api/ascii_case.h"

namespace terrace {
namespace {

[[noreturn]] void fail(const char* what) { throw ApiError(400, std::string("the form (multipart/form-data) ") + what); }

// The value of `name` among "type; name=value; name="quoted value"".
std::optional<std::string> parameter(std::string_view header, std::string_view name) {
  size_t at = header.find(';');
  while (at != std::string_view::npos) {
    header.remove_prefix(at + 1);
    header.remove_prefix(std::min(header.find_first_not_of(' '), header.size()));
    const size_t equals = header.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    const bool wanted = equal_ignoring_case(header.substr(0, equals), name);
    header.remove_prefix(equals + 1);
    std::string value;
    if (header.starts_with('"')) {
      size_t i = 1;
      for (; i < header.size() && header[i] != '"'; ++i) {
        if (header[i] == '\\' && i + 1 < header.size()) ++i;
        value += header[i];
      }
      header.remove_prefix(std::min(i, header.size()));
    } else {
      value = header.substr(0, header.find(';'));
    }
    if (wanted) return value;
    at = header.find(';');
  }
  return std::nullopt;
}

FormPart parse_part(std::string_view part) {
  const size_t end = part.find("\r\n\r\n");
  if (end == std::string_view::npos) fail("has a part whose header does not end");
  FormPart result;
  result.body = part.substr(end + 4);
  std::string_view headers = part.substr(0, end + 2);
  while (!headers.empty()) {
    const size_t line_end = headers.find("\r\n");
    const std::string_view line = headers.substr(0, line_end);
    headers.remove_prefix(line_end + 2);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos || !equal_ignoring_case(line.substr(0, colon), "content-disposition")) continue;
    result.name = parameter(line, "name").value_or("");
    result.filename = parameter(line, "filename");
  }
  if (result.name.empty()) fail("has a part without a name");
  return result;
}

}  // namespace

std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view bytes) {
  constexpr size_t kMaxParts = 64;
  const std::optional<std::string> boundary = parameter(content_type, "boundary");
  if (!boundary || boundary->empty() || boundary->size() > 200) fail("has no boundary in its Content-Type");
  const std::string delimiter = "--" + *boundary;
  if (!bytes.starts_with(delimiter)) fail("does not begin with its boundary");
  bytes.remove_prefix(delimiter.size());
  std::vector<FormPart> parts;
  while (!bytes.starts_with("--")) {
    if (!bytes.starts_with("\r\n") || parts.size() == kMaxParts) fail("is not well-formed");
    bytes.remove_prefix(2);
    const size_t end = bytes.find("\r\n" + delimiter);
    if (end == std::string_view::npos) fail("ends in the middle of a part");
    parts.push_back(parse_part(bytes.substr(0, end)));
    bytes.remove_prefix(end + 2 + delimiter.size());
  }
  return parts;
}

}  // namespace terrace
