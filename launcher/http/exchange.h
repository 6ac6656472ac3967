// One HTTP request and the ways to answer it, whatever carries the bytes (plain or TLS). Lives on its connection's executor: one thread at a time.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/beast/http/message.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/json/fwd.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

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
  virtual ~Exchange() = default;

  const HttpRequest& request() const { return request_; }
  /// The path, without the query.
  std::string_view path() const;
  /// A parameter of the query, decoded.
  std::optional<std::string> query(std::string_view name) const;
  virtual boost::asio::any_io_executor executor() = 0;

  // Exactly one answer: reply(), or begin_stream(), pieces and end_stream(). They throw boost::system::system_error where the client has gone or takes nothing.
  virtual boost::asio::awaitable<void> reply(Reply reply) = 0;
  virtual boost::asio::awaitable<void> begin_stream(std::string type) = 0;
  virtual boost::asio::awaitable<void> send_piece(std::string piece) = 0;
  virtual boost::asio::awaitable<void> end_stream() = 0;
  /// Ends when the client has closed its side.
  virtual boost::asio::awaitable<void> closed() = 0;

  /// The status sent; 0 before that.
  int status() const { return status_; }
  bool streaming() const { return streaming_; }

  std::string id;     // of the request, in answers and logs
  std::string owner;  // name of the API key
  std::string route;  // as the server names it
  std::string parameter;  // what stands where the route has {id}
  std::vector<std::pair<std::string, std::string>> headers;  // of every answer
  bool last = false;  // the connection ends with this answer

 protected:
  explicit Exchange(HttpRequest request) : request_(std::move(request)) {}
  Exchange(const Exchange&) = default;

  HttpRequest request_;
  int status_ = 0;
  bool streaming_ = false;
};

}  // namespace terrace
