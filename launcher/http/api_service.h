// The HTTP API: which path is answered by what, who may ask, and what becomes of errors. The handler of an HttpServer; any of its threads.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/api/api_error.h"
#include "launcher/http/exchange.h"
#include "launcher/http/http_server.h"
#include "launcher/serve/access_log.h"
#include "launcher/serve/api_keys.h"
#include "launcher/serve/served_model.h"
#include "launcher/serve/server_metrics.h"

namespace terrace {

class ApiService {
 public:
  struct Options {
    ApiKeys keys;
    std::string cors_origin;  // empty: none
    bool access_log = true;
    bool local_only = false;  // only loopback is listened on, and there are no keys: the Host header is all that tells a foreign web page
  };
  ApiService(Options options, ServerMetrics& metrics);

  /// From now on requests are answered; before, they get 503. `server`: this handler's, for the figures.
  void open(ServedModel model, const HttpServer& server);
  boost::asio::awaitable<void> handle(Exchange& exchange);
  /// "GET /health" and so on: the API, without the web page.
  static std::vector<std::string> paths();

 private:
  struct Route;
  static const std::vector<Route>& routes();

  boost::asio::awaitable<void> answer(Exchange& exchange, const Route& route, AccessRecord& record);
  Reply error_reply(const Exchange& exchange, const ApiError& error) const;
  std::string allowed_methods(const Exchange& exchange) const;
  const Route& find_route(const Exchange& exchange) const;
  void identify(Exchange& exchange) const;
  void expect_local_name(const HttpRequest& request) const;
  std::shared_ptr<const ServedModel> model() const;
  ServerMetrics::Gauges gauges() const;

  Reply list_models(const Exchange& exchange) const;
  Reply get_model(const Exchange& exchange) const;
  Reply tokenize(const Exchange& exchange) const;
  Reply detokenize(const Exchange& exchange) const;
  Reply health(const Exchange& exchange) const;
  Reply version(const Exchange& exchange) const;
  Reply metrics_text(const Exchange& exchange) const;
  Reply live_stats(const Exchange& exchange) const;
  Reply openapi(const Exchange& exchange) const;
  Reply web_page(const Exchange& exchange) const;
  Reply preflight(const Exchange& exchange) const;

  Options options_;
  ServerMetrics& metrics_;
  AccessLog log_;
  std::atomic<std::shared_ptr<const ServedModel>> model_;
  std::atomic<const HttpServer*> server_ = nullptr;
  std::atomic<uint64_t> last_id_;
};

}  // namespace terrace
