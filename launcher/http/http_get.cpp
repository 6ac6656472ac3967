#include "launcher/http/http_get.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/host_name_verification.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "kernels/base/error.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using Request = http::request<http::empty_body>;

asio::ssl::context make_tls(const std::string& host) {
  asio::ssl::context tls(asio::ssl::context::tls_client);
  tls.set_default_verify_paths();
  tls.set_verify_mode(asio::ssl::verify_peer);
  tls.set_verify_callback(asio::ssl::host_name_verification(host));
  return tls;
}

template <typename Stream>
asio::awaitable<HttpAnswer> converse(Stream& stream, const Request& request) {
  beast::flat_buffer buffer;
  http::response<http::string_body> response;
  co_await http::async_write(stream, request, use_awaitable);
  co_await http::async_read(stream, buffer, response, use_awaitable);
  co_return HttpAnswer{static_cast<int>(response.result_int()), std::move(response.body())};
}

asio::awaitable<HttpAnswer> get(const Url& url, const Request& request) {
  const auto executor = co_await asio::this_coro::executor;
  const auto endpoints = co_await asio::ip::tcp::resolver(executor).async_resolve(url.host, url.port, use_awaitable);
  if (!url.tls) {
    beast::tcp_stream stream(executor);
    co_await stream.async_connect(endpoints, use_awaitable);
    co_return co_await converse(stream, request);
  }
  asio::ssl::context tls = make_tls(url.host);
  beast::ssl_stream<beast::tcp_stream> stream(executor, tls);
  SSL_set_tlsext_host_name(stream.native_handle(), url.host.c_str());
  co_await beast::get_lowest_layer(stream).async_connect(endpoints, use_awaitable);
  co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
  co_return co_await converse(stream, request);
}

}  // namespace

HttpAnswer http_get(const Url& url, const std::string& path, const std::string& api_key, std::chrono::milliseconds timeout) {
  Request request(http::verb::get, url.path + path, 11);
  request.set(http::field::host, url.authority());
  request.set(http::field::user_agent, "terrace");
  if (!api_key.empty()) request.set(http::field::authorization, "Bearer " + api_key);
  request.keep_alive(false);
  std::optional<HttpAnswer> answer;
  std::string problem = "it does not answer in time";
  asio::io_context io;
  asio::co_spawn(io, get(url, request), [&](const std::exception_ptr& failure, HttpAnswer got) {
    try {
      if (failure) std::rethrow_exception(failure);
      answer = std::move(got);
    } catch (const boost::system::system_error& error) {
      problem = error.code().message();
    }
  });
  io.run_for(timeout);
  if (!answer) throw Error(ErrorCode::kIoError, fmt::format("{}{}: {}", url.authority(), request.target(), problem));
  return std::move(*answer);
}

}  // namespace terrace
