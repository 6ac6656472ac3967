#include "launcher/http/stream_client.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/beast/core/error.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/parser.hpp>
#include <utility>

#include "kernels/base/error.h"
#include "launcher/bench/stream_event.h"
#include "launcher/http/client_request.h"
#include "launcher/http/http_get.h"
#include "launcher/http/message_io.h"
#include "launcher/http/sse_parser.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr size_t kMostErrorBody = 64 << 10;

using Parser = http::response_parser<http::buffer_body>;

// The kind of an error that the connection has: few different ones, so that they can be counted.
void note_error(LoadOutcome& outcome, const char* when, error_code error) {
  outcome.error = error == beast::error::timeout ? "timeout" : when;
  if (error != beast::error::timeout) outcome.detail = error.message();
}

/// What the answer's events come to.
class Listener {
 public:
  Listener(LoadOutcome& outcome, const StreamClient::Now& now, const std::function<void()>& on_piece) : outcome_(outcome), now_(now), on_piece_(on_piece) {}

  bool done() const { return done_; }
  void hear(std::string_view data) {
    const StreamEvent event = read_stream_event(data);
    done_ = done_ || event.done;
    if (!event.error.empty()) {
      outcome_.error = "error event";
      outcome_.detail = event.error;
    }
    if (event.prompt_tokens) outcome_.prompt_tokens = *event.prompt_tokens;
    if (event.cached_tokens) outcome_.cached_tokens = *event.cached_tokens;
    if (event.output_tokens) told_tokens_ = *event.output_tokens;
    if (!event.has_text) return;
    const double at = now_();
    if (outcome_.first_piece) outcome_.gaps.push_back(at - last_);
    if (!outcome_.first_piece) outcome_.first_piece = at;
    last_ = at;
    on_piece_();
  }
  void finish() {
    const int64_t pieces = static_cast<int64_t>(outcome_.gaps.size()) + (outcome_.first_piece ? 1 : 0);
    outcome_.output_tokens = told_tokens_ > 0 ? told_tokens_ : pieces;
    if (!done_ && outcome_.error.empty()) outcome_.error = "the stream ended before its end mark";
  }

 private:
  LoadOutcome& outcome_;
  const StreamClient::Now& now_;
  const std::function<void()>& on_piece_;
  double last_ = 0;
  int64_t told_tokens_ = 0;
  bool done_ = false;
};

/// Hands what has come of the body to `take`, as it comes; it returns false for enough.
asio::awaitable<error_code> read_pieces(Connection& connection, beast::flat_buffer& buffer, Parser& parser, const std::function<bool(std::string_view)>& take) {
  std::array<char, 16 << 10> piece;
  while (!parser.is_done()) {
    parser.get().body().data = piece.data();
    parser.get().body().size = piece.size();
    error_code error = co_await read_some(connection, buffer, parser);
    if (error == http::error::need_buffer) error = {};
    const size_t length = piece.size() - parser.get().body().size;
    if (length > 0 && !take({piece.data(), length})) co_return error_code();
    if (error) co_return error;
  }
  co_return error_code();
}

}  // namespace

StreamClient::StreamClient(Options options) : options_(std::move(options)), tls_(client_tls(options_.url.host)) {
  asio::io_context io;
  error_code error;
  endpoints_ = tcp::resolver(io).resolve(options_.url.host, options_.url.port, error);
  if (error) throw Error(ErrorCode::kIoError, fmt::format("{} cannot be looked up: {}", options_.url.host, error.message()));
}

std::string StreamClient::get(const std::string& path) const {
  HttpAnswer answer = http_get(options_.url, path, options_.api_key, options_.timeout);
  if (answer.status != 200) {
    throw Error(ErrorCode::kIoError, fmt::format("{}{} answers {}: {}", options_.url.authority(), path, answer.status, error_message_of(answer.body)));
  }
  return std::move(answer.body);
}

asio::awaitable<void> StreamClient::complete(const LoadRequest& request, const Now& now, const std::function<void()>& on_piece, LoadOutcome& outcome) {
  const auto executor = co_await asio::this_coro::executor;
  const auto connection = make_connection(beast::tcp_stream(executor), options_.url.tls ? &tls_ : nullptr);
  connection->tcp().expires_after(options_.timeout);
  if (const error_code failed = co_await connection->connect(endpoints_)) {
    note_error(outcome, "no connection", failed);
  } else if (const error_code refused = co_await connection->connect_handshake(options_.url.host)) {
    note_error(outcome, "TLS handshake", refused);
  } else {
    co_await converse(*connection, request, now, on_piece, outcome);
  }
  outcome.ended = now();
}

asio::awaitable<void> StreamClient::converse(Connection& connection, const LoadRequest& load, const Now& now, const std::function<void()>& on_piece, LoadOutcome& outcome) {
  auto request = client_request(http::verb::post, options_.url, load.path, options_.api_key);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::accept, "text/event-stream");
  request.content_length(load.body.size());
  const std::string head = head_text(request);
  const Connection::Pieces pieces = {asio::buffer(head), asio::buffer(load.body)};
  const error_code unsent = co_await write_all(connection, pieces);
  if (unsent) co_return note_error(outcome, "the request could not be sent", unsent);

  beast::flat_buffer buffer;
  Parser parser;
  parser.body_limit(boost::none);
  const error_code headless = co_await read_head(connection, buffer, parser);
  if (headless) co_return note_error(outcome, "no answer", headless);
  if (const unsigned status = parser.get().result_int(); status != 200) {
    outcome.error = fmt::format("HTTP {}", status);
    std::string body;
    const std::function<bool(std::string_view)> keep = [&](std::string_view piece) { return body.append(piece).size() < kMostErrorBody; };
    co_await read_pieces(connection, buffer, parser, keep);
    outcome.detail = error_message_of(body);
    co_return;
  }
  Listener listener(outcome, now, on_piece);
  SseParser events;
  const SseParser::EventCallback hear = [&](std::string_view data) { listener.hear(data); };
  const std::function<bool(std::string_view)> take = [&](std::string_view piece) {
    if (!events.feed(piece, hear)) outcome.error = "an event of the stream is too large";
    return outcome.error.empty() && !listener.done();
  };
  const error_code broken = co_await read_pieces(connection, buffer, parser, take);
  if (broken && outcome.error.empty()) note_error(outcome, "the stream broke", broken);
  listener.finish();
}

}  // namespace terrace
