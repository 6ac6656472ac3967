// One HTTP request and the ways to answer it. Lives on its connection's executor: one thread at a time.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "launcher/http/connection.h"

namespace terrace {

using HttpRequest = boost::beast::http::request<boost::beast::http::string_body>;

struct Reply {
  int status = 200;
  std::string body = {};
  std::string type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};
};

Reply json_reply(const boost::json::value& body, int status = 200);

class Exchange {
 public:
  /// `connection` outlives the exchange. A write that makes no progress for `idle` fails.
  Exchange(HttpRequest request, Connection& connection, std::chrono::seconds idle) : request_(std::move(request)), connection_(connection), idle_(idle) {}

  const HttpRequest& request() const { return request_; }
  /// The path, without the query.
  std::string_view path() const;
  /// A parameter of the query, decoded.
  std::optional<std::string> query(std::string_view name) const;
  boost::asio::any_io_executor executor() { return connection_.tcp().get_executor(); }

  // Exactly one answer: reply(), or begin_stream(), pieces and end_stream(). They throw boost::system::system_error where the client has gone or takes nothing.
  boost::asio::awaitable<void> reply(Reply reply);
  boost::asio::awaitable<void> begin_stream(std::string type);
  boost::asio::awaitable<void> send_piece(std::string piece);
  boost::asio::awaitable<void> end_stream();
  /// Ends when the client has closed its side.
  boost::asio::awaitable<void> closed();

  /// The status sent; 0 before that.
  int status() const { return status_; }
  bool streaming() const { return streaming_; }
  /// Whether another request may come, once this one is answered.
  bool keep_alive() const { return keep_alive_ && !last; }

  std::string id;     // of the request, in answers and logs
  std::string owner;  // name of the API key
  std::string route;  // as the server names it
  std::string parameter;  // what stands where the route has {id}
  std::vector<std::pair<std::string, std::string>> headers;  // of every answer
  bool last = false;  // the connection ends with this answer

 private:
  boost::beast::http::response<boost::beast::http::empty_body> head(int status, const std::string& type);
  boost::asio::awaitable<void> write(std::string_view first, std::string_view second);

  const HttpRequest request_;
  Connection& connection_;
  const std::chrono::seconds idle_;
  int status_ = 0;
  bool streaming_ = false;
  bool chunked_ = false;
  bool keep_alive_ = false;
};

}  // namespace terrace
