#include "launcher/http/http_get.h"

#include <fmt/format.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/system/system_error.hpp>
#include <exception>
#include <optional>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/http/client_request.h"
#include "launcher/http/message_io.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

void check(error_code error) {
  if (error) throw boost::system::system_error(error);
}

asio::awaitable<HttpAnswer> get(const Url& url, const std::string& head) {
  const auto executor = co_await asio::this_coro::executor;
  const auto endpoints = co_await asio::ip::tcp::resolver(executor).async_resolve(url.host, url.port, asio::use_awaitable);
  std::optional<asio::ssl::context> tls;
  if (url.tls) tls = client_tls(url.host);
  const auto connection = make_connection(beast::tcp_stream(executor), tls ? &*tls : nullptr);
  check(co_await connection->connect(endpoints));
  check(co_await connection->connect_handshake(url.host));
  const Connection::Pieces request = {asio::buffer(head)};
  check(co_await write_all(*connection, request));
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> parser;
  check(co_await read_head(*connection, buffer, parser));
  while (!parser.is_done()) check(co_await read_some(*connection, buffer, parser));
  co_return HttpAnswer{static_cast<int>(parser.get().result_int()), std::move(parser.get().body())};
}

}  // namespace

HttpAnswer http_get(const Url& url, const std::string& path, const std::string& api_key, std::chrono::milliseconds timeout) {
  auto request = client_request(http::verb::get, url, path, api_key);
  const std::string head = head_text(request);
  std::optional<HttpAnswer> answer;
  std::string problem = "it does not answer in time";
  asio::io_context io;
  asio::co_spawn(io, get(url, head), [&](const std::exception_ptr& failure, HttpAnswer got) {
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
