#include "launcher/http/url.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "kernels/base/error.h"

namespace terrace {
namespace {

[[noreturn]] void fail(std::string_view text, std::string_view reason) {
  throw Error(ErrorCode::kInvalidValue, fmt::format("{} is not the address of a server, such as http://127.0.0.1:8000: {}", text, reason));
}

bool is_port(std::string_view text) {
  uint16_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0;
}

bool is_plain(char c) { return c > ' ' && c < 0x7F; }

}  // namespace

std::string percent_decoded(std::string_view text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    unsigned char byte = 0;
    const std::string_view digits = text.substr(i).substr(1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    const bool encoded = text[i] == '%' && digits.size() == 2 && error == std::errc() && end == digits.data() + 2;
    bytes += encoded ? static_cast<char>(byte) : text[i];
    if (encoded) i += 2;
  }
  return bytes;
}

std::string Url::authority() const {
  const std::string name = host.find(':') == host.npos ? host : fmt::format("[{}]", host);
  return port == (tls ? "443" : "80") ? name : fmt::format("{}:{}", name, port);
}

Url parse_url(std::string_view text) {
  Url url;
  std::string_view rest = text;
  if (!std::ranges::all_of(rest, is_plain)) fail(text, "it holds a space or what is not ASCII");
  if (const size_t scheme = rest.find("://"); scheme != rest.npos) {
    const std::string_view name = rest.substr(0, scheme);
    if (name != "http" && name != "https") fail(text, "it must begin with http:// or https://");
    url.tls = name == "https";
    rest.remove_prefix(scheme + 3);
  }
  std::string_view authority = rest.substr(0, rest.find('/'));
  std::string_view path = rest.substr(authority.size());
  if (path.find_first_of("?#") != path.npos) fail(text, "it has a query");
  while (path.ends_with('/')) path.remove_suffix(1);
  url.path = path;
  if (authority.find('@') != authority.npos) fail(text, "a user's name belongs into a header");
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == authority.npos) fail(text, "a bracket is not closed");
    url.host = authority.substr(1, end - 1);
    authority.remove_prefix(end + 1);
  } else {
    url.host = authority.substr(0, authority.find(':'));
    authority.remove_prefix(url.host.size());
  }
  if (url.host.empty()) fail(text, "it names no host");
  url.port = authority.empty() ? (url.tls ? "443" : "80") : authority.substr(1);
  if (!authority.empty() && (authority.front() != ':' || !is_port(url.port))) fail(text, "its port is not a number from 1 to 65535");
  return url;
}

}  // namespace terrace
