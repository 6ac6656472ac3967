#include "launcher/http/exchange.h"

#include <algorithm>
#include <boost/json.hpp>

#include "launcher/http/url.h"

namespace terrace {

Reply json_reply(const boost::json::value& body, int status) { return {.status = status, .body = boost::json::serialize(body)}; }

std::string_view Exchange::path() const {
  const std::string_view target(request_.target().data(), request_.target().size());
  return target.substr(0, target.find('?'));
}

std::optional<std::string> Exchange::query(std::string_view name) const {
  std::string_view rest(request_.target().data(), request_.target().size());
  rest.remove_prefix(std::min(rest.size(), rest.find('?')));
  while (!rest.empty()) {
    rest.remove_prefix(1);  // ? or &
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(pair.size());
    const size_t equals = std::min(pair.size(), pair.find('='));
    if (pair.substr(0, equals) == name) return percent_decoded(pair.substr(std::min(pair.size(), equals + 1)));
  }
  return std::nullopt;
}

}  // namespace terrace
