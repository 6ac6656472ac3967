// A multipart/form-data body (RFC 7578) as its parts. Pure; the bytes are a stranger's.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace terrace {

struct FormPart {
  std::string name;
  std::optional<std::string> filename;
  std::string_view body;  // within the bytes given
};

/// `content_type`: the request's header, with its boundary. Throws ApiError(400).
std::vector<FormPart> parse_multipart(std::string_view content_type, std::string_view bytes);

}  // namespace terrace
