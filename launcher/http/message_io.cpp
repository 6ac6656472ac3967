#include "launcher/http/message_io.h"

#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/read_size.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/serializer.hpp>

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using boost::system::error_code;

constexpr size_t kMostRead = 64 << 10;

}  // namespace

template <bool isRequest>
asio::awaitable<error_code> read_some(Connection& connection, beast::flat_buffer& buffer, http::basic_parser<isRequest>& parser) {
  while (true) {
    error_code error = http::error::need_more;
    if (buffer.size() > 0) buffer.consume(parser.put(buffer.data(), error));
    if (error != http::error::need_more) co_return error;
    const size_t room = beast::read_size(buffer, kMostRead);
    if (room == 0) co_return http::make_error_code(http::error::buffer_overflow);
    const asio::mutable_buffer to = buffer.prepare(room);
    const Connection::Moved read = co_await connection.read_some(to);
    if (read.error == asio::error::eof) {
      if (!parser.got_some()) co_return http::make_error_code(http::error::end_of_stream);
      error = {};
      parser.put_eof(error);
      co_return error;
    }
    if (read.error) co_return read.error;
    buffer.commit(read.bytes);
  }
}

template <bool isRequest>
asio::awaitable<error_code> read_head(Connection& connection, beast::flat_buffer& buffer, http::basic_parser<isRequest>& parser) {
  parser.eager(false);
  error_code error;
  while (!error && !parser.is_header_done()) error = co_await read_some(connection, buffer, parser);
  co_return error;
}

template <bool isRequest>
std::string head_text(http::message<isRequest, http::empty_body>& message) {
  http::serializer<isRequest, http::empty_body> serializer(message);
  serializer.split(true);
  std::string text;
  error_code never;
  serializer.next(never, [&](error_code&, const auto& buffers) { text = beast::buffers_to_string(buffers); });
  return text;
}

asio::awaitable<error_code> write_all(Connection& connection, Connection::Pieces rest, std::optional<std::chrono::seconds> idle) {
  if (rest[0].size() == 0) rest = {rest[1]};
  while (asio::buffer_size(rest) > 0) {
    if (idle) connection.tcp().expires_after(*idle);
    const size_t first = rest[0].size();
    const Connection::Moved written = co_await connection.write_some(rest);
    if (written.error) co_return written.error;
    rest[0] += written.bytes;  // at most all of it
    if (rest[0].size() > 0) continue;
    rest[1] += written.bytes - first;
    rest = {rest[1]};  // Beast's TLS stream writes nothing where an empty piece stands before one above 64 KiB
  }
  co_return error_code();
}

template asio::awaitable<error_code> read_some(Connection&, beast::flat_buffer&, http::basic_parser<true>&);
template asio::awaitable<error_code> read_some(Connection&, beast::flat_buffer&, http::basic_parser<false>&);
template asio::awaitable<error_code> read_head(Connection&, beast::flat_buffer&, http::basic_parser<true>&);
template asio::awaitable<error_code> read_head(Connection&, beast::flat_buffer&, http::basic_parser<false>&);
template std::string head_text(http::message<true, http::empty_body>&);
template std::string head_text(http::message<false, http::empty_body>&);

}  // namespace terrace
