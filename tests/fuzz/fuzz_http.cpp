// Any bytes as what a client sends: the server answers in HTTP or closes, soon, and goes on serving.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "launcher/http/api_service.h"
#include "launcher/http/http_server.h"

namespace {

using namespace terrace;

// A server without a model: what would run answers 503, everything before that is the real thing.
struct Front {
  Front() : service({.access_log = false}, metrics), http({.max_body = 4096, .idle = std::chrono::seconds(2)}, [this](Exchange& exchange) { return service.handle(exchange); }) {}
  ServerMetrics metrics;
  ApiService service;
  HttpServer http;
};

std::string answer_to(uint16_t port, std::string_view bytes) {
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  // Each run from a loopback address of its own: the end that closes first keeps its address and port for a minute, and one address's 28,000 ports last seconds.
  static uint32_t runs = 0;
  sockaddr_in from = {};
  from.sin_family = AF_INET;
  from.sin_addr.s_addr = htonl(0x7f010000u + (++runs & 0x3fffff));
  sockaddr_in to = from;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(client, reinterpret_cast<sockaddr*>(&from), sizeof from) != 0 || ::connect(client, reinterpret_cast<sockaddr*>(&to), sizeof to) != 0) {
    std::perror("fuzz_http cannot reach its server");
    std::abort();
  }
  ::send(client, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  ::shutdown(client, SHUT_WR);
  std::string text;
  char part[4096];
  for (ssize_t size; (size = ::recv(client, part, sizeof part, 0)) > 0;) text.append(part, static_cast<size_t>(size));
  ::close(client);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto front = std::make_unique<Front>();
  const std::string text = answer_to(front->http.port(), {reinterpret_cast<const char*>(data), size});
  if (!text.empty() && !text.starts_with("HTTP/1.")) std::abort();
  return 0;
}
