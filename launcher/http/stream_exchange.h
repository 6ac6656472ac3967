// An Exchange over a Beast stream: TCP, or TLS above it.
#pragma once

#include <netinet/tcp.h>

#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <utility>

#include "launcher/http/exchange.h"

namespace terrace {

/// Whether the other side has closed: also where bytes that it sent before still wait to be read.
inline bool peer_closed(int socket) {
  tcp_info info = {};
  socklen_t size = sizeof info;
  if (::getsockopt(socket, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return true;
  return info.tcpi_state != TCP_ESTABLISHED;
}

template <typename Stream>
class StreamExchange final : public Exchange {
 public:
  /// `stream` outlives the exchange. A write that makes no progress for `idle` fails.
  StreamExchange(HttpRequest request, Stream& stream, std::chrono::seconds idle) : Exchange(std::move(request)), stream_(stream), idle_(idle) {}

  boost::asio::any_io_executor executor() override { return stream_.get_executor(); }
  bool keep_alive() const { return keep_alive_ && !last; }

  boost::asio::awaitable<void> reply(Reply reply) override {
    namespace http = boost::beast::http;
    http::response<http::string_body> response = head<http::string_body>(reply.status, reply.type);
    for (const auto& [name, value] : reply.headers) response.set(name, value);
    response.body() = std::move(reply.body);
    response.prepare_payload();
    if (request_.method() == http::verb::head) response.body().clear();
    keep_alive_ = response.keep_alive();
    http::response_serializer<http::string_body> serializer(response);
    while (!serializer.is_done()) {
      lowest().expires_after(idle_);
      co_await http::async_write_some(stream_, serializer, boost::asio::use_awaitable);
    }
  }

  boost::asio::awaitable<void> begin_stream(std::string type) override {
    namespace http = boost::beast::http;
    http::response<http::empty_body> response = head<http::empty_body>(200, type);
    response.set(http::field::cache_control, "no-store");
    chunked_ = request_.version() >= 11;
    if (chunked_) {
      response.chunked(true);
    } else {
      response.keep_alive(false);
    }
    keep_alive_ = response.keep_alive();
    streaming_ = true;
    http::response_serializer<http::empty_body> serializer(response);
    lowest().expires_after(idle_);
    co_await http::async_write_header(stream_, serializer, boost::asio::use_awaitable);
  }

  boost::asio::awaitable<void> send_piece(std::string piece) override {
    const boost::asio::const_buffer bytes = boost::asio::buffer(piece);
    if (chunked_) {
      const auto chunk = boost::beast::http::make_chunk(bytes);
      co_await write(chunk);
    } else {
      co_await write(bytes);
    }
  }

  boost::asio::awaitable<void> end_stream() override {
    if (!chunked_) co_return;
    const auto end = boost::beast::http::make_chunk_last();
    co_await write(end);
  }

  boost::asio::awaitable<void> closed() override {
    auto& socket = lowest().socket();
    boost::asio::steady_timer pause(socket.get_executor());
    while (true) {
      co_await socket.async_wait(boost::asio::socket_base::wait_read, boost::asio::use_awaitable);
      if (peer_closed(socket.native_handle())) co_return;
      pause.expires_after(std::chrono::milliseconds(200));  // the next request lies there unread, so waiting tells nothing
      co_await pause.async_wait(boost::asio::use_awaitable);
    }
  }

 private:
  auto& lowest() { return boost::beast::get_lowest_layer(stream_); }

  // The time starts anew with every byte taken: a slow reader is no idle one.
  template <typename Buffers>
  boost::asio::awaitable<void> write(const Buffers& buffers) {
    boost::beast::buffers_suffix<Buffers> rest(buffers);
    while (boost::beast::buffer_bytes(rest) > 0) {
      lowest().expires_after(idle_);
      rest.consume(co_await stream_.async_write_some(rest, boost::asio::use_awaitable));
    }
  }

  template <typename Body>
  boost::beast::http::response<Body> head(int status, const std::string& type) {
    namespace http = boost::beast::http;
    status_ = status;
    http::response<Body> response(static_cast<http::status>(status), request_.version());
    response.set(http::field::content_type, type);
    response.set("X-Request-Id", id);
    response.set("X-Content-Type-Options", "nosniff");
    for (const auto& [name, value] : headers) response.set(name, value);
    response.keep_alive(request_.keep_alive() && !last);
    return response;
  }

  Stream& stream_;
  std::chrono::seconds idle_;
  bool keep_alive_ = false;
  bool chunked_ = false;
};

}  // namespace terrace
