#include "launcher/http/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>
#include <optional>
#include <string>
#include <thread>

#include "kernels/base/error.h"

namespace terrace {
namespace {

namespace asio = boost::asio;

constexpr size_t kLarge = 40 << 20;  // more than sockets hold

// A client that sends bytes as they are.
class RawClient {
 public:
  explicit RawClient(uint16_t port) : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const timeval patience = {20, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(socket_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  ~RawClient() { close(); }
  void close() {
    if (socket_ >= 0) ::close(socket_);
    socket_ = -1;
  }
  bool connected() const { return connected_; }
  void send(std::string_view bytes) { [[maybe_unused]] const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL); }
  /// All that comes until the server closes.
  std::string receive() {
    std::string text;
    char part[4096];
    for (ssize_t size; (size = ::recv(socket_, part, sizeof part, 0)) > 0;) text.append(part, static_cast<size_t>(size));
    return text;
  }
  /// The same at some 10 MB/s.
  size_t receive_slowly() {
    size_t total = 0;
    std::string part(256 << 10, '\0');
    for (ssize_t size; (size = ::recv(socket_, part.data(), part.size(), MSG_WAITALL)) > 0; total += static_cast<size_t>(size)) std::this_thread::sleep_for(std::chrono::milliseconds(25));
    return total;
  }

 private:
  int socket_;
  bool connected_ = false;
};

class HttpServerTest : public ::testing::Test {
 protected:
  void start(HttpServer::Options options = {}) {
    server_.emplace(options, [this](Exchange& exchange) { return handle(exchange); });
  }

  // What the paths do: /wait never answers, /stream sends without end, /echo answers with the body, others with their path.
  asio::awaitable<void> handle(Exchange& exchange) {
    try {
      ++begun_;
      if (exchange.path() == "/wait") {
        asio::steady_timer forever(exchange.executor(), asio::steady_timer::time_point::max());
        co_await forever.async_wait(asio::use_awaitable);
      }
      if (exchange.path() == "/stream") {
        std::string type = "text/event-stream";
        co_await exchange.begin_stream(std::move(type));
        while (true) {
          std::string piece(64 << 10, 'x');
          co_await exchange.send_piece(std::move(piece));
        }
      }
      if (exchange.path() == "/short-stream") {
        std::string type = "text/plain", first = "ab", second(26, 'c');
        co_await exchange.begin_stream(std::move(type));
        co_await exchange.send_piece(std::move(first));
        co_await exchange.send_piece(std::move(second));
        co_await exchange.end_stream();
        co_return;
      }
      if (exchange.path() == "/large-stream") {
        std::string type = "text/plain", piece(kLarge, 'x');
        co_await exchange.begin_stream(std::move(type));
        co_await exchange.send_piece(std::move(piece));
        co_await exchange.end_stream();
        co_return;
      }
      Reply reply;
      reply.type = "text/plain";
      reply.body = exchange.path() == "/echo" ? exchange.request().body() : exchange.path() == "/large" ? std::string(kLarge, 'x') : std::string(exchange.path());
      co_await exchange.reply(std::move(reply));
    } catch (const boost::system::system_error&) {
      ++cancelled_;
    }
  }

  std::string ask(std::string_view bytes) {
    RawClient client(server_->port());
    client.send(bytes);
    return client.receive();
  }
  void wait_for(const std::atomic<int>& count, int wanted) {
    for (int i = 0; i < 2000 && count < wanted; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_EQ(count, wanted);
  }

  std::atomic<int> begun_ = 0;
  std::atomic<int> cancelled_ = 0;
  std::optional<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersOneRequestAfterAnother) {
  start();
  const std::string text = ask("GET /a?b=c HTTP/1.1\r\nHost: h\r\n\r\nPOST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /d HTTP/1.0\r\n\r\n");
  EXPECT_NE(text.find("\r\n\r\n/a"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\n\r\nabc"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\n\r\n/d"), std::string::npos) << text;
}

TEST_F(HttpServerTest, ReadsChunkedBodiesAndSaysToGoOn) {
  start();
  const std::string text = ask("POST /echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  EXPECT_TRUE(text.starts_with("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200")) << text;
  EXPECT_NE(text.find("abcde"), std::string::npos) << text;
}

TEST_F(HttpServerTest, FramesWhatItSends) {
  start();
  const std::string letters(26, 'c');
  std::string text = ask("GET /short-stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  EXPECT_NE(text.find("\r\nTransfer-Encoding: chunked\r\n"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n2\r\nab\r\n1a\r\n" + letters + "\r\n0\r\n\r\n")) << text;
  text = ask("GET /short-stream HTTP/1.0\r\n\r\n");  // which has no chunks: the end of the connection ends the answer
  EXPECT_EQ(text.find("chunked"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\nab" + letters)) << text;
  text = ask("HEAD /abc HTTP/1.1\r\nHost: h\r\n\r\nGET /d HTTP/1.0\r\n\r\n");  // the length, and no body
  EXPECT_NE(text.find("\r\nContent-Length: 4\r\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\r\n\r\nHTTP/1.0 200"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\r\n\r\n/d")) << text;
}

TEST_F(HttpServerTest, RefusesWhatIsNoHttpOrTooLarge) {
  start({.max_body = 100});
  EXPECT_TRUE(ask("hello\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask("GET / HTTP/3.0\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask("POST /echo HTTP/1.1\r\nContent-Length: 101\r\n\r\n").starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(0x65, 'a') + "\r\n0\r\n\r\n").starts_with("HTTP/1.1 413"));
  EXPECT_TRUE(ask("POST /echo HTTP/1.1\r\nContent-Length: -1\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask("POST /echo HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").starts_with("HTTP/1.1 400"));
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nA: " + std::string(40000, 'a') + "\r\n\r\n").starts_with("HTTP/1.1 431"));
  EXPECT_EQ(begun_, 0);
}

TEST_F(HttpServerTest, RefusesABodyThatFindsNoRoomBesideTheOthers) {
  start({.max_body = 100, .max_bodies = 150});
  const std::string body(100, 'a');
  const std::string request = "POST /echo HTTP/1.1\r\nConnection: close\r\nContent-Length: 100\r\n\r\n" + body;
  RawClient first(server_->port());
  first.send("POST /wait HTTP/1.1\r\nContent-Length: 100\r\n\r\n" + body);
  wait_for(begun_, 1);
  const std::string refused = ask(request);
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 503")) << refused;
  EXPECT_NE(refused.find("Retry-After"), std::string::npos);
  EXPECT_NE(refused.find("server.max_bodies"), std::string::npos);
  first.close();
  wait_for(cancelled_, 1);
  // The share goes back after the handler's end: soon, not yet.
  std::string answered;
  for (int i = 0; i < 2000 && !answered.starts_with("HTTP/1.1 200"); ++i) answered = ask(request);
  EXPECT_TRUE(answered.ends_with(body)) << answered;
}

TEST_F(HttpServerTest, ClosesOnClientsThatTakeTheirTime) {
  start({.idle = std::chrono::seconds(1)});
  RawClient silent(server_->port()), slow(server_->port());
  std::jthread drip([&slow](const std::stop_token& stop) {
    while (!stop.stop_requested()) {
      slow.send("G");
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
  });
  EXPECT_EQ(silent.receive(), "");
  EXPECT_EQ(slow.receive(), "");
}

TEST_F(HttpServerTest, CancelsTheAnswerOfAClientThatWent) {
  start();
  RawClient waiting(server_->port()), streaming(server_->port()), pipelining(server_->port());
  waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  streaming.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  pipelining.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n");
  wait_for(begun_, 3);
  for (RawClient* client : {&waiting, &streaming, &pipelining}) client->close();
  wait_for(cancelled_, 3);
}

TEST_F(HttpServerTest, CancelsAStreamThatNobodyReads) {
  start({.idle = std::chrono::seconds(1)});
  RawClient deaf(server_->port());
  deaf.send("GET /stream HTTP/1.1\r\nHost: h\r\n\r\n");
  wait_for(cancelled_, 1);
}

TEST_F(HttpServerTest, ASlowReaderGetsAllOfALargeAnswer) {
  start({.threads = 2, .idle = std::chrono::seconds(2)});  // the answers take longer
  for (const char* path : {"/large", "/large-stream"}) {
    RawClient slow(server_->port());
    slow.send(std::string("GET ") + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    EXPECT_GE(slow.receive_slowly(), kLarge) << path;
  }
}

TEST_F(HttpServerTest, ARefusalReachesAClientThatIsStillSending) {
  start({.max_connections = 1});
  RawClient first(server_->port());
  first.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  wait_for(begun_, 1);
  const std::string request = "POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + std::string(1'000'000, 'a');
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(ask(request).starts_with("HTTP/1.1 503"));
}

TEST_F(HttpServerTest, KeepsToItsNumberOfConnections) {
  start({.max_connections = 2});
  RawClient first(server_->port()), second(server_->port());
  first.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  second.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  wait_for(begun_, 2);
  EXPECT_TRUE(ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n").starts_with("HTTP/1.1 503"));
  first.close();
  wait_for(cancelled_, 1);
  std::string text;
  for (int i = 0; i < 100 && text.find(" 200 OK") == std::string::npos; ++i) text = ask("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(text.find(" 200 OK") != std::string::npos) << text;
}

TEST_F(HttpServerTest, AThousandIdleConnectionsDisturbNobody) {
  rlimit files = {};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < 2200) GTEST_SKIP() << "both ends of 1,000 connections are 2,000 open files, and this process may have " << files.rlim_max << " (ulimit -Hn)";
  start();
  std::vector<std::unique_ptr<RawClient>> idle;
  for (int i = 0; i < 1000; ++i) idle.push_back(std::make_unique<RawClient>(server_->port()));
  for (int i = 0; i < 1000 && server_->open_connections() < 1000; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(server_->open_connections(), 1000);
  EXPECT_TRUE(ask("GET / HTTP/1.0\r\n\r\n").starts_with("HTTP/1.0 200"));
}

TEST_F(HttpServerTest, DrainingLetsAnswersEndAndTakesNoMore) {
  start();
  RawClient waiting(server_->port());
  waiting.send("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n");
  wait_for(begun_, 1);
  const uint16_t port = server_->port();
  server_->drain(std::chrono::milliseconds(50));
  EXPECT_FALSE(RawClient(port).connected());
  server_.reset();
  EXPECT_EQ(waiting.receive(), "");
}

TEST_F(HttpServerTest, SaysWhyItCannotListen) {
  start();
  try {
    HttpServer second({.port = server_->port()}, [this](Exchange& exchange) { return handle(exchange); });
    ADD_FAILURE() << "two servers on one port";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIoError);
    EXPECT_NE(std::string(error.what()).find("127.0.0.1"), std::string::npos);
  }
  EXPECT_THROW(HttpServer({.host = "nowhere"}, [this](Exchange& exchange) { return handle(exchange); }), Error);
  EXPECT_THROW(HttpServer({.certificate = "/nothing.pem", .private_key = "/nothing.pem"}, [this](Exchange& exchange) { return handle(exchange); }), Error);
}

}  // namespace
}  // namespace terrace
