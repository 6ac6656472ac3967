#include "launcher/http/message_io.h"

#include <algorithm>
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
asio::awaitable<error_code> read_some(ByteStream& stream, beast::flat_buffer& buffer, http::basic_parser<isRequest>& parser) {
  while (true) {
    error_code error = http::error::need_more;
    if (buffer.size() > 0) buffer.consume(parser.put(buffer.data(), error));
    if (error != http::error::need_more) co_return error;
    const size_t room = beast::read_size(buffer, kMostRead);
    if (room == 0) co_return http::make_error_code(http::error::buffer_overflow);
    const asio::mutable_buffer to = buffer.prepare(room);
    const ByteStream::Moved read = co_await stream.read_some(to);
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
asio::awaitable<error_code> read_head(ByteStream& stream, beast::flat_buffer& buffer, http::basic_parser<isRequest>& parser) {
  parser.eager(false);
  error_code error;
  while (!error && !parser.is_header_done()) error = co_await read_some(stream, buffer, parser);
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

asio::awaitable<error_code> write_all(ByteStream& stream, ByteStream::Pieces rest, std::optional<std::chrono::seconds> idle) {
  while (asio::buffer_size(rest) > 0) {
    if (idle) stream.tcp().expires_after(*idle);
    ByteStream::Moved written = co_await stream.write_some(rest);
    if (written.error) co_return written.error;
    for (asio::const_buffer& piece : rest) {
      const size_t gone = std::min(written.bytes, piece.size());
      piece += gone;
      written.bytes -= gone;
    }
  }
  co_return error_code();
}

template asio::awaitable<error_code> read_some(ByteStream&, beast::flat_buffer&, http::basic_parser<true>&);
template asio::awaitable<error_code> read_some(ByteStream&, beast::flat_buffer&, http::basic_parser<false>&);
template asio::awaitable<error_code> read_head(ByteStream&, beast::flat_buffer&, http::basic_parser<true>&);
template asio::awaitable<error_code> read_head(ByteStream&, beast::flat_buffer&, http::basic_parser<false>&);
template std::string head_text(http::message<true, http::empty_body>&);
template std::string head_text(http::message<false, http::empty_body>&);

}  // namespace terrace
