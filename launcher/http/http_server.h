// Listens, and serves each connection by a coroutine on its own threads: reads requests within limits and times, and has the handler answer them, one at a
// time. Knows HTTP, nothing of models.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "launcher/http/exchange.h"

namespace terrace {

class HttpServer {
 public:
  struct Options {
    std::string host = "127.0.0.1";
    uint16_t port = 0;
    int32_t threads = 1;
    int32_t max_connections = 2048;
    uint64_t max_body = 16 << 20;
    uint64_t max_bodies = 256 << 20;  // of all requests together; at least max_body
    std::chrono::seconds idle{60};
    std::string certificate = {};  // PEM files; empty: no TLS
    std::string private_key = {};
  };
  /// Answers one request, and catches whatever goes wrong in it. Cancelled when the client closes.
  using Handler = std::function<boost::asio::awaitable<void>(Exchange&)>;

  /// Listens from now on; throws Error(kIoError) where the address cannot be had, kInvalidValue for a bad certificate.
  HttpServer(const Options& options, Handler handler);
  /// Closes what is still open.
  ~HttpServer();

  uint16_t port() const;
  /// Takes no more connections and ends each after the answer it is at; waits for those answers, at most `patience`.
  void drain(std::chrono::milliseconds patience);
  int32_t open_connections() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace terrace
