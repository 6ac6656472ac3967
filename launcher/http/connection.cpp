#include "launcher/http/connection.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/beast/ssl.hpp>

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// What TCP and TLS have in common: Beast's streams read and write alike.
template <typename Stream>
class StreamConnection : public Connection {
 public:
  template <typename... Layers>
  explicit StreamConnection(Layers&&... layers) : stream_(std::forward<Layers>(layers)...) {}

  asio::awaitable<Moved> read_some(asio::mutable_buffer to) override {
    const auto [error, bytes] = co_await stream_.async_read_some(to, kTuple);
    co_return Moved{error, bytes};
  }
  asio::awaitable<Moved> write_some(const Pieces& from) override {
    const auto [error, bytes] = co_await stream_.async_write_some(from, kTuple);
    co_return Moved{error, bytes};
  }
  beast::tcp_stream& tcp() override { return beast::get_lowest_layer(stream_); }

 protected:
  Stream stream_;
};

class TcpConnection final : public StreamConnection<beast::tcp_stream> {
 public:
  using StreamConnection::StreamConnection;

  asio::awaitable<error_code> accept_handshake() override { co_return error_code(); }
  asio::awaitable<error_code> connect_handshake(const std::string&) override { co_return error_code(); }
  asio::awaitable<void> close() override {
    error_code ignored;
    stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    co_return;
  }
};

class TlsConnection final : public StreamConnection<beast::ssl_stream<beast::tcp_stream>> {
 public:
  using StreamConnection::StreamConnection;

  asio::awaitable<error_code> accept_handshake() override {
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::server, kTuple);
    co_return error;
  }
  asio::awaitable<error_code> connect_handshake(const std::string& host) override {
    SSL_set_tlsext_host_name(stream_.native_handle(), host.c_str());
    const auto [error] = co_await stream_.async_handshake(asio::ssl::stream_base::client, kTuple);
    co_return error;
  }
  asio::awaitable<void> close() override { co_await stream_.async_shutdown(kTuple); }
};

}  // namespace

asio::awaitable<error_code> Connection::connect(const Endpoints& endpoints) {
  const auto [error, endpoint] = co_await tcp().async_connect(endpoints, kTuple);
  error_code ignored;
  if (!error) tcp().socket().set_option(asio::ip::tcp::no_delay(true), ignored);
  co_return error;
}

std::unique_ptr<Connection> make_connection(beast::tcp_stream tcp, asio::ssl::context* tls) {
  if (tls == nullptr) return std::make_unique<TcpConnection>(std::move(tcp));
  return std::make_unique<TlsConnection>(std::move(tcp), *tls);
}

}  // namespace terrace
