#include "launcher/http/http_get.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/http/client_request.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::use_awaitable;
using Request = http::request<http::empty_body>;

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
  asio::ssl::context tls = client_tls(url.host);
  beast::ssl_stream<beast::tcp_stream> stream(executor, tls);
  SSL_set_tlsext_host_name(stream.native_handle(), url.host.c_str());
  co_await beast::get_lowest_layer(stream).async_connect(endpoints, use_awaitable);
  co_await stream.async_handshake(asio::ssl::stream_base::client, use_awaitable);
  co_return co_await converse(stream, request);
}

}  // namespace

HttpAnswer http_get(const Url& url, const std::string& path, const std::string& api_key, std::chrono::milliseconds timeout) {
  const auto request = client_request<http::empty_body>(http::verb::get, url, path, api_key);
  std::optional<HttpAnswer> answer;
  std::string problem = "it does not answer in time";
  asio::io_context io;
  asio::co_spawn(io, get(url, request), [&](const std::exception_ptr& failure, HttpAnswer got) {
    try {
      if (failure) std::rethrow_exception(failure);
      answer = std::move(got);
    } catch (const boost::system::system_error& error) {
      problem = error.code().message();
      if (error.code() == asio::error::connection_refused) problem += "; is terrace serve running there?";
    }
  });
  io.run_for(timeout);
  if (!answer) throw Error(ErrorCode::kIoError, fmt::format("{}{}: {}", url.authority(), request.target(), problem));
  return std::move(*answer);
}

}  // namespace terrace
