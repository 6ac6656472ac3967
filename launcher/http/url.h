// Where a server is. Pure.
#pragma once

#include <string>
#include <string_view>

namespace terrace {

struct Url {
  bool tls = false;
  std::string host;  // an IPv6 address without its brackets
  std::string port;  // a number
  std::string path;  // "" or "/..." without a slash at its end
  /// As the header Host wants it.
  std::string authority() const;
};

/// With %XX as the byte that it stands for; a % that begins no such thing stays.
std::string percent_decoded(std::string_view text);

/// "http://host:port/path" or "https://..."; without a scheme http. Throws Error(kInvalidValue) that says what is wrong.
Url parse_url(std::string_view text);

}  // namespace terrace
