// Beast's parsers and heads over a Connection.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/basic_parser.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <chrono>
#include <optional>
#include <string>

#include "launcher/http/connection.h"

namespace terrace {

/// Feeds the parser what is in `buffer`, and first more bytes where it has too few to go on. http::error::end_of_stream: the other side closed between messages;
/// buffer_overflow: the head does not fit into the buffer.
template <bool isRequest>
boost::asio::awaitable<boost::system::error_code> read_some(Connection& connection, boost::beast::flat_buffer& buffer, boost::beast::http::basic_parser<isRequest>& parser);

/// The same until the head is there; the body comes by read_some().
template <bool isRequest>
boost::asio::awaitable<boost::system::error_code> read_head(Connection& connection, boost::beast::flat_buffer& buffer, boost::beast::http::basic_parser<isRequest>& parser);

/// As it goes over the wire, with the empty line at its end.
template <bool isRequest>
std::string head_text(boost::beast::http::message<isRequest, boost::beast::http::empty_body>& message);

/// Writes all. With `idle`, the connection's time starts anew with every byte taken: a slow reader is no idle one.
boost::asio::awaitable<boost::system::error_code> write_all(Connection& connection, Connection::Pieces rest, std::optional<std::chrono::seconds> idle = std::nullopt);

}  // namespace terrace
