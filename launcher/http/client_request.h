// What every request of ours to somebody's server has in common. Pure.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <string>

#include "launcher/http/url.h"

namespace terrace {

/// `api_key`: empty for none. The connection ends with the answer.
inline boost::beast::http::request<boost::beast::http::empty_body> client_request(boost::beast::http::verb verb, const Url& url, const std::string& path, const std::string& api_key) {
  namespace http = boost::beast::http;
  http::request<http::empty_body> request(verb, url.path + path, 11);
  request.set(http::field::host, url.authority());
  request.set(http::field::user_agent, "terrace");
  if (!api_key.empty()) request.set(http::field::authorization, "Bearer " + api_key);
  request.keep_alive(false);
  return request;
}

/// Certificates are checked against the system's, and must be of `host`.
inline boost::asio::ssl::context client_tls(const std::string& host) {
  boost::asio::ssl::context tls(boost::asio::ssl::context::tls_client);
  tls.set_default_verify_paths();
  tls.set_verify_mode(boost::asio::ssl::verify_peer);
  tls.set_verify_callback(boost::asio::ssl::host_name_verification(host));
  return tls;
}

}  // namespace terrace
