#include "launcher/http/local_name.h"

#include <boost/asio/ip/address.hpp>
#include <boost/beast/core/string.hpp>
#include <boost/system/error_code.hpp>
#include <string>

namespace terrace {

bool is_local_name(std::string_view host) {
  if (host.starts_with('[')) return true;  // an IPv6 address
  host = host.substr(0, host.find(':'));
  if (host.ends_with('.')) host.remove_suffix(1);
  if (host.find('.') == host.npos) return true;
  constexpr std::string_view kLocal = ".localhost";
  if (host.size() > kLocal.size() && boost::beast::iequals(host.substr(host.size() - kLocal.size()), kLocal)) return true;
  boost::system::error_code error;
  boost::asio::ip::make_address(std::string(host), error);
  return !error;
}

bool is_loopback(std::string_view address) {
  boost::system::error_code error;
  const auto parsed = boost::asio::ip::make_address(std::string(address), error);
  return !error && parsed.is_loopback();
}

}  // namespace terrace
