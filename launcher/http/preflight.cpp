#include "launcher/http/preflight.h"

#include <boost/beast/http/field.hpp>
#include <cctype>
#include <string>
#include <string_view>

namespace terrace {
namespace {

// The names in a list that a browser sends, and nothing else that may stand there.
std::string header_names(std::string_view list) {
  std::string names(list);
  std::erase_if(names, [](char c) { return std::isalnum(static_cast<unsigned char>(c)) == 0 && std::string_view("!#$%&'*+-.^_`|~, ").find(c) == std::string_view::npos; });
  return names;
}

}  // namespace

Reply preflight_reply(const HttpRequest& request) {
  const auto asked = request[boost::beast::http::field::access_control_request_headers];
  const std::string names = asked.empty() ? "Authorization, Content-Type" : header_names({asked.data(), asked.size()});
  return {.status = 204, .headers = {{"Access-Control-Allow-Methods", "GET, POST, DELETE"}, {"Access-Control-Allow-Headers", names}, {"Access-Control-Max-Age", "600"}}};
}

}  // namespace terrace
