#include "launcher/http/exchange.h"

#include <fmt/format.h>
#include <netinet/tcp.h>

#include <algorithm>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <boost/system/system_error.hpp>

#include "launcher/http/message_io.h"
#include "launcher/http/url.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;

// Whether the other side has closed: also where bytes that it sent before still wait to be read.
bool peer_closed(int socket) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

}  // namespace

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

asio::awaitable<void> Exchange::reply(Reply reply) {
  http::response<http::empty_body> response = head(reply.status, reply.type);
  for (const auto& [name, value] : reply.headers) response.set(name, value);
  if (reply.status != 204) response.content_length(reply.body.size());
  keep_alive_ = response.keep_alive();
  if (request_.method() == http::verb::head) reply.body.clear();
  const std::string text = head_text(response);
  co_await write(text, reply.body);
}

asio::awaitable<void> Exchange::begin_stream(std::string type) {
  http::response<http::empty_body> response = head(200, type);
  response.set(http::field::cache_control, "no-store");
  chunked_ = request_.version() >= 11;
  if (chunked_) {
    response.chunked(true);
  } else {
    response.keep_alive(false);
  }
  keep_alive_ = response.keep_alive();
  streaming_ = true;
  const std::string text = head_text(response);
  co_await write(text, {});
}

asio::awaitable<void> Exchange::send_piece(std::string piece) {
  if (chunked_) {
    const std::string size = fmt::format("{:x}\r\n", piece.size());
    piece += "\r\n";
    co_await write(size, piece);
  } else {
    co_await write(piece, {});
  }
}

asio::awaitable<void> Exchange::end_stream() {
  if (chunked_) co_await write("0\r\n\r\n", {});
}

asio::awaitable<void> Exchange::closed() {
  auto& socket = connection_.tcp().socket();
  asio::steady_timer pause(socket.get_executor());
  while (true) {
    co_await socket.async_wait(asio::socket_base::wait_read, asio::use_awaitable);
    if (peer_closed(socket.native_handle())) co_return;
    pause.expires_after(std::chrono::milliseconds(200));  // the next request lies there unread, so waiting tells nothing
    co_await pause.async_wait(asio::use_awaitable);
  }
}

asio::awaitable<void> Exchange::write(std::string_view first, std::string_view second) {
  const Connection::Pieces pieces = {asio::buffer(first), asio::buffer(second)};
  const boost::system::error_code error = co_await write_all(connection_, pieces, idle_);
  if (error) throw boost::system::system_error(error);
}

http::response<http::empty_body> Exchange::head(int status, const std::string& type) {
  status_ = status;
  http::response<http::empty_body> response(static_cast<http::status>(status), request_.version());
  response.set(http::field::content_type, type);
  response.set("X-Request-Id", id);
  response.set("X-Content-Type-Options", "nosniff");
  for (const auto& [name, value] : headers) response.set(name, value);
  response.keep_alive(request_.keep_alive() && !last);
  return response;
}

}  // namespace terrace
