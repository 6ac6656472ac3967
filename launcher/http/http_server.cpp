#include "launcher/http/http_server.h"

#include <fmt/format.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/beast/http/parser.hpp>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/http/body_budget.h"
#include "launcher/http/exchange.h"
#include "launcher/http/message_io.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr uint32_t kMaxHeader = 32 << 10;
constexpr std::chrono::seconds kHandshake{10};
constexpr std::chrono::seconds kRefusal{5};  // for a client to take what it is refused with
constexpr int32_t kMaxRefusals = 64;         // at a time, of connections; more are closed without a word
constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// Each connection is a descriptor.
void allow_many_files() {
  rlimit limit = {};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::optional<asio::ssl::context> make_tls(const HttpServer::Options& options) {
  if (options.certificate.empty()) return std::nullopt;
  asio::ssl::context tls(asio::ssl::context::tls_server);
  tls.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 | asio::ssl::context::no_tlsv1_1);
  error_code error;
  tls.use_certificate_chain_file(options.certificate, error);
  if (error) throw Error(ErrorCode::kInvalidValue, fmt::format("server.certificate {}: {}", options.certificate, error.message()));
  tls.use_private_key_file(options.private_key, asio::ssl::context::pem, error);
  if (error) throw Error(ErrorCode::kInvalidValue, fmt::format("server.private_key {}: {}", options.private_key, error.message()));
  return tls;
}

// What to say to a request that could not be read; 0: nothing, the client has gone or is idle.
int status_of(error_code error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit || error == http::error::buffer_overflow) return 431;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == http::make_error_code(http::error::end_of_stream).category() ? 400 : 0;
}

struct Count {
  explicit Count(std::atomic<int32_t>& number) : count(&number) { ++*count; }
  Count(Count&& other) noexcept : count(std::exchange(other.count, nullptr)) {}
  ~Count() {
    if (count != nullptr) --*count;
  }
  Count& operator=(Count&&) = delete;
  std::atomic<int32_t>* count;
};

constexpr const char* kManyConnections = "the server has as many connections as it may (server.max_connections)";
constexpr const char* kManyBodies = "the server holds as many bytes of requests as it may (server.max_bodies)";

std::string error_body(int status, const char* overload = "") {
  const char* what = status == 413   ? "the request's body is larger than server.max_body"
                     : status == 431 ? "the request's header is too large"
                     : status == 503 ? overload
                                     : "this is not HTTP/1.1";
  return fmt::format(R"({{"error": {{"message": "{}", "type": "{}", "param": null, "code": "{}"}}}})", what,
                     status == 503 ? "server_error" : "invalid_request_error", status == 503 ? "overloaded" : "invalid_value");
}

// Closing with bytes unread would reset the connection, and the client might never see the answer: let some of them come.
asio::awaitable<void> end_unread(beast::tcp_stream& stream) {
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
  std::vector<char> sink(64 << 10);
  for (size_t total = 0; total < (64U << 20);) {
    const auto [error, bytes] = co_await stream.async_read_some(asio::buffer(sink), kTuple);
    if (error) break;
    total += bytes;
  }
}

// Answers what was not read to its end, and lets the client take that.
asio::awaitable<void> refuse_unread(Connection& connection, int status, const char* overload) {
  http::response<http::empty_body> response(static_cast<http::status>(status), 11);
  response.set(http::field::content_type, "application/json");
  response.keep_alive(false);
  const std::string body = error_body(status, overload);
  if (status == 503) response.set(http::field::retry_after, "5");
  response.content_length(body.size());
  connection.tcp().expires_after(kRefusal);
  const std::string head = head_text(response);
  const Connection::Pieces pieces = {asio::buffer(head), asio::buffer(body)};
  co_await write_all(connection, pieces);
  co_await end_unread(connection.tcp());
}

}  // namespace

struct HttpServer::Impl {
  Impl(const Options& server_options, Handler request_handler)
      : options(server_options), handler(std::move(request_handler)), tls(make_tls(server_options)), bodies(std::max(server_options.max_bodies, server_options.max_body)), io(server_options.threads),
        acceptor(io) {}

  void listen();
  asio::awaitable<void> accept();
  void take(tcp::socket socket);
  asio::awaitable<void> refuse(tcp::socket socket, Count counted);
  asio::awaitable<void> serve(tcp::socket socket, Count counted);
  asio::awaitable<void> answer_requests(Connection& connection);
  asio::awaitable<std::optional<HttpRequest>> read(Connection& connection, beast::flat_buffer& buffer, BodyBudget::Share& share);

  const Options options;
  const Handler handler;
  std::optional<asio::ssl::context> tls;
  BodyBudget bodies;
  asio::io_context io;
  tcp::acceptor acceptor;
  std::atomic<int32_t> open = 0;       // connections
  std::atomic<int32_t> refusing = 0;   // beside those
  std::atomic<int32_t> answering = 0;  // of those, at an answer
  std::atomic<bool> ending = false;
  std::vector<std::thread> threads;
};

void HttpServer::Impl::listen() {
  error_code error;
  const auto address = asio::ip::make_address(options.host, error);
  if (error) throw Error(ErrorCode::kInvalidValue, fmt::format("server.host: {} is not an IP address", options.host));
  const tcp::endpoint endpoint(address, options.port);
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(1024, error);
  if (error) {
    throw Error(ErrorCode::kIoError, fmt::format("cannot listen on {}:{}: {} (server.host and server.port say where)", options.host, options.port, error.message()));
  }
}

asio::awaitable<void> HttpServer::Impl::accept() {
  asio::steady_timer pause(io);
  while (!ending) {
    auto [error, socket] = co_await acceptor.async_accept(asio::make_strand(io), kTuple);
    if (error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors, or a client gone at once
      pause.expires_after(std::chrono::milliseconds(50));
      co_await pause.async_wait(asio::use_awaitable);
      continue;
    }
    take(std::move(socket));
  }
}

void HttpServer::Impl::take(tcp::socket socket) {
  const auto executor = socket.get_executor();
  if (open < options.max_connections) {
    asio::co_spawn(executor, serve(std::move(socket), Count(open)), asio::detached);
  } else if (!tls && refusing < kMaxRefusals) {  // under TLS a word would take a handshake first
    asio::co_spawn(executor, refuse(std::move(socket), Count(refusing)), asio::detached);
  }
}

asio::awaitable<void> HttpServer::Impl::refuse(tcp::socket socket, [[maybe_unused]] Count counted) {
  const auto connection = make_connection(beast::tcp_stream(std::move(socket)), nullptr);
  co_await refuse_unread(*connection, 503, kManyConnections);
}

asio::awaitable<void> HttpServer::Impl::serve(tcp::socket socket, [[maybe_unused]] Count counted) {
  const auto connection = make_connection(beast::tcp_stream(std::move(socket)), tls ? &*tls : nullptr);
  connection->tcp().expires_after(std::min(options.idle, kHandshake));
  const error_code error = co_await connection->accept_handshake();
  if (error) co_return;
  co_await answer_requests(*connection);
  connection->tcp().expires_after(kRefusal);
  co_await connection->close();
}

asio::awaitable<void> HttpServer::Impl::answer_requests(Connection& connection) {
  using namespace asio::experimental::awaitable_operators;
  error_code ignored;
  connection.tcp().socket().set_option(tcp::no_delay(true), ignored);
  connection.tcp().socket().set_option(asio::socket_base::keep_alive(true), ignored);
  beast::flat_buffer buffer(kMaxHeader + (64 << 10));
  while (!ending) {
    BodyBudget::Share share(bodies);
    std::optional<HttpRequest> request = co_await read(connection, buffer, share);
    if (!request) co_return;
    Exchange exchange(std::move(*request), connection, options.idle);
    exchange.last = ending;
    const Count answer(answering);
    co_await (handler(exchange) || exchange.closed());
    if (!exchange.keep_alive()) co_return;
  }
}

asio::awaitable<std::optional<HttpRequest>> HttpServer::Impl::read(Connection& connection, beast::flat_buffer& buffer, BodyBudget::Share& share) {
  http::request_parser<http::string_body> parser;
  parser.header_limit(kMaxHeader);
  parser.body_limit(options.max_body);
  connection.tcp().expires_after(options.idle);
  error_code error = co_await read_head(connection, buffer, parser);
  if (!error && beast::iequals(parser.get()[http::field::expect], "100-continue")) {
    constexpr std::string_view kGoOn = "HTTP/1.1 100 Continue\r\n\r\n";
    const Connection::Pieces go_on = {asio::buffer(kGoOn)};
    error = co_await write_all(connection, go_on);
  }
  connection.tcp().expires_after(options.idle);
  bool room = true;
  while (!error && room && !parser.is_done()) {
    error = co_await read_some(connection, buffer, parser);
    room = share.grow_to(parser.get().body().size());
  }
  if (!error && room) co_return parser.release();
  if (const int status = room ? status_of(error) : 503) co_await refuse_unread(connection, status, kManyBodies);
  co_return std::nullopt;
}

HttpServer::HttpServer(const Options& options, Handler handler) : impl_(std::make_unique<Impl>(options, std::move(handler))) {
  allow_many_files();
  impl_->listen();
  asio::co_spawn(impl_->io, impl_->accept(), asio::detached);
  for (int32_t i = 0; i < options.threads; ++i) {
    impl_->threads.emplace_back([this] {
      ::pthread_setname_np(::pthread_self(), "http");  // so that /proc tells what HTTP and text cost
      impl_->io.run();
    });
  }
}

HttpServer::~HttpServer() {
  impl_->ending = true;
  impl_->io.stop();
  for (std::thread& thread : impl_->threads) thread.join();
}

uint16_t HttpServer::port() const { return impl_->acceptor.local_endpoint().port(); }

int32_t HttpServer::open_connections() const { return impl_->open; }

void HttpServer::drain(std::chrono::milliseconds patience) {
  impl_->ending = true;
  asio::post(impl_->io, [this] {
    error_code ignored;
    impl_->acceptor.close(ignored);
  });
  const auto until = std::chrono::steady_clock::now() + patience;
  while (impl_->answering > 0 && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(10));
}

}  // namespace terrace
