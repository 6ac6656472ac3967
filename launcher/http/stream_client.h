// One streamed completion over a connection of its own, with the times at which its pieces came. On the caller's executor; one thread.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <functional>
#include <string>

#include "launcher/bench/load_report.h"
#include "launcher/bench/load_source.h"
#include "launcher/http/connection.h"
#include "launcher/http/url.h"

namespace terrace {

class StreamClient {
 public:
  struct Options {
    Url url;
    std::string api_key;  // empty: none is sent
    std::chrono::milliseconds timeout{600'000};  // of a whole request
  };
  /// Looks the host up; throws Error(kIoError) where that fails.
  explicit StreamClient(Options options);

  /// The body of a GET, or Error(kIoError) with what went wrong. Waits, on no executor.
  std::string get(const std::string& path) const;

  /// Seconds after the beginning of a test.
  using Now = std::function<double()>;
  /// Fills `outcome` in; whatever goes wrong is in its `error`. `on_piece` is called at each piece of text. All outlive the call.
  boost::asio::awaitable<void> complete(const LoadRequest& request, const Now& now, const std::function<void()>& on_piece, LoadOutcome& outcome);

 private:
  boost::asio::awaitable<void> converse(Connection& connection, const LoadRequest& request, const Now& now, const std::function<void()>& on_piece, LoadOutcome& outcome);

  Options options_;
  boost::asio::ssl::context tls_;
  Connection::Endpoints endpoints_;
};

}  // namespace terrace
