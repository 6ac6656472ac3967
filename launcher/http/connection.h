// The bytes of one connection: TCP, or TLS above it. One class for both, so that HTTP is compiled once: each use of Asio's TLS operations, which are templates,
// costs the compiler half a minute. Lives on its executor; one thread at a time.
#pragma once

#include <array>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <memory>
#include <string>
#include <utility>

namespace terrace {

class Connection {
 public:
  struct Moved {
    boost::system::error_code error;
    size_t bytes = 0;
  };
  /// What goes out in one piece: a head and a body, say.
  using Pieces = std::array<boost::asio::const_buffer, 2>;
  using Endpoints = boost::asio::ip::tcp::resolver::results_type;

  virtual ~Connection() = default;

  virtual boost::asio::awaitable<Moved> read_some(boost::asio::mutable_buffer to) = 0;
  virtual boost::asio::awaitable<Moved> write_some(const Pieces& from) = 0;
  // What TLS says before the first byte; nothing without it. `host`: whom the client expects.
  virtual boost::asio::awaitable<boost::system::error_code> accept_handshake() = 0;
  virtual boost::asio::awaitable<boost::system::error_code> connect_handshake(const std::string& host) = 0;
  /// Tells the other side that no more comes.
  virtual boost::asio::awaitable<void> close() = 0;

  boost::asio::awaitable<boost::system::error_code> connect(const Endpoints& endpoints);
  /// The TCP below; its expires_after() bounds what is asked of the connection too.
  virtual boost::beast::tcp_stream& tcp() = 0;

 protected:
  Connection() = default;
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
};

/// `tls`: null for none; outlives the connection.
std::unique_ptr<Connection> make_connection(boost::beast::tcp_stream tcp, boost::asio::ssl::context* tls);

}  // namespace terrace
