#include "launcher/http/exchange.h"

#include <boost/json.hpp>

namespace terrace {

Reply json_reply(const boost::json::value& body, int status) { return {.status = status, .body = boost::json::serialize(body)}; }

std::string_view Exchange::path() const {
  const std::string_view target(request_.target().data(), request_.target().size());
  return target.substr(0, target.find('?'));
}

}  // namespace terrace
