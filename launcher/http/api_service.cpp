#include "launcher/http/api_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/beast/core/string.hpp>
#include <boost/json.hpp>
#include <boost/system/system_error.hpp>
#include <optional>
#include <random>

#include "kernels/base/clock.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/api/api_error.h"
#include "launcher/api/completion_request.h"
#include "launcher/api/json_body.h"
#include "launcher/api/openapi.h"
#include "launcher/api/token_lists.h"
#include "launcher/http/completion_answer.h"
#include "launcher/http/embedding_answer.h"
#include "launcher/http/file_api.h"
#include "launcher/http/local_name.h"
#include "launcher/http/preflight.h"
#include "launcher/http/url.h"
#include "launcher/http/web_page.h"
#include "launcher/serve/engine_loop.h"
#include "launcher/version.h"
#include "runtime/text/utf8.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
namespace json = boost::json;

constexpr int kClientGone = 499;  // nginx's number for it, in logs only

// What a caller sends is checked by its bytes; the type keeps web pages out, whose cross-site forms cannot have it.
void expect_json(const HttpRequest& request) {
  const auto type = request[http::field::content_type];
  if (!boost::beast::iequals(type.substr(0, type.find(';')), "application/json")) {
    throw ApiError(415, "the body must be JSON, with the header Content-Type: application/json", "", "unsupported_media_type");
  }
}

constexpr std::string_view kModelPath = "/v1/models/{id}";

// With one segment of the path in the place of {id}, which is what comes back; nullopt where the path is another's. A model's name may have slashes.
std::optional<std::string_view> match(std::string_view pattern, std::string_view path) {
  const size_t open = pattern.find("{id}");
  if (open == std::string_view::npos) return pattern == path ? std::optional(std::string_view()) : std::nullopt;
  const std::string_view after = pattern.substr(open + 4);
  if (!path.starts_with(pattern.substr(0, open)) || !path.ends_with(after) || path.size() <= open + after.size()) return std::nullopt;
  const std::string_view id = path.substr(open, path.size() - open - after.size());
  return pattern == kModelPath || id.find('/') == std::string_view::npos ? std::optional(id) : std::nullopt;
}

json::object model_record(const ServedModel& model) {
  return {{"id", model.name}, {"object", "model"}, {"created", model.created}, {"owned_by", "terrace"}, {"max_model_len", model.max_sequence_tokens}};
}

// Browsers say so themselves; a form with a file is the one thing that a foreign page could send.
void refuse_other_sites(const HttpRequest& request) {
  if (request["Sec-Fetch-Site"] == "cross-site") throw ApiError(403, "requests from other sites' pages are refused (server.cors_origin)", "", "forbidden");
}

}  // namespace

struct ApiService::Route {
  http::verb method;
  std::string_view path;
  std::function<Reply(const ApiService&, const Exchange&)> reply;  // empty: the engine's
  bool needs_key = true;
  bool logged = true;  // but for what is asked for every few seconds
  bool json = true;    // what a POST sends
};

const std::vector<ApiService::Route>& ApiService::routes() {
  using http::verb;
  const auto on_files = [](Reply (*answer)(const ServedModel&, const Exchange&)) {
    return [answer](const ApiService& service, const Exchange& exchange) { return answer(*service.model(), exchange); };
  };
  static const std::vector<Route> all = {
      {verb::post, "/v1/completions", {}},
      {verb::post, "/v1/chat/completions", {}},
      {verb::post, "/v1/embeddings", {}},
      {verb::get, "/v1/models", &ApiService::list_models},
      {verb::get, kModelPath, &ApiService::get_model},
      {verb::post, "/tokenize", &ApiService::tokenize},
      {verb::post, "/detokenize", &ApiService::detokenize},
      {verb::post, "/v1/files", on_files(file_api::add_file), true, true, false},
      {verb::get, "/v1/files", on_files(file_api::list_files)},
      {verb::get, "/v1/files/{id}", on_files(file_api::get_file)},
      {verb::delete_, "/v1/files/{id}", on_files(file_api::delete_file)},
      {verb::get, "/v1/files/{id}/content", on_files(file_api::get_content)},
      {verb::post, "/v1/batches", on_files(file_api::create_batch)},
      {verb::get, "/v1/batches", on_files(file_api::list_batches)},
      {verb::get, "/v1/batches/{id}", on_files(file_api::get_batch)},
      {verb::post, "/v1/batches/{id}/cancel", on_files(file_api::cancel_batch), true, true, false},
      {verb::get, "/health", &ApiService::health, false, false},
      {verb::get, "/version", &ApiService::version, false},
      {verb::get, "/metrics", &ApiService::metrics_text, true, false},
      {verb::get, "/stats", &ApiService::live_stats, true, false},
      {verb::get, "/openapi.json", &ApiService::openapi, false},
      {verb::get, "/", &ApiService::web_page, false, false},
      {verb::get, "/assets/{id}", &ApiService::web_page, false, false},
  };
  return all;
}

ApiService::ApiService(Options options, ServerMetrics& metrics) : options_(std::move(options)), metrics_(metrics), log_(options_.access_log) {
  last_id_ = uint64_t{std::random_device{}()} << 32;  // ids differ between runs, too
}

void ApiService::open(ServedModel model, const HttpServer& server) {
  server_ = &server;
  model_ = std::make_shared<const ServedModel>(std::move(model));
}

std::shared_ptr<const ServedModel> ApiService::model() const {
  auto model = model_.load();
  if (model == nullptr) throw ApiError(503, "the model is being loaded; /health says when it is there", "", "overloaded");
  return model;
}

asio::awaitable<void> ApiService::handle(Exchange& exchange) {
  AccessRecord record;
  record.begun_us = steady_clock().now_us();
  exchange.id = fmt::format("{:016x}", ++last_id_);
  exchange.route = "unknown";
  if (!options_.cors_origin.empty()) {
    exchange.headers.emplace_back("Access-Control-Allow-Origin", options_.cors_origin);
    exchange.headers.emplace_back("Access-Control-Expose-Headers", "X-Request-Id, Retry-After");
  }
  const Route* route = nullptr;
  std::optional<ApiError> failure;
  bool gone = false;
  try {
    if (options_.local_only) expect_local_name(exchange.request());
    route = &find_route(exchange);
    exchange.route = route->path;
    exchange.parameter = match(route->path, exchange.path()).value_or("");
    co_await answer(exchange, *route, record);
  } catch (const ApiError& error) {
    failure = error;
  } catch (const boost::system::system_error&) {  // the client's side of the connection, or cancelled because it closed
    gone = true;
  } catch (const std::exception& error) {
    log_error(fmt::format("request {} on {}: {} (this is a bug in terrace)", exchange.id, exchange.route, error.what()));
    failure = ApiError(500, "something went wrong inside; the server's log has it under this request's id", "", "internal");
  }
  if (failure && exchange.status() != 0) exchange.last = true;  // the client can tell only by the connection's end that the answer lacks its own
  try {
    if (failure && exchange.status() == 0) {
      Reply reply = error_reply(exchange, *failure);
      co_await exchange.reply(std::move(reply));
    }
  } catch (const boost::system::system_error&) {
    gone = true;
  }
  record.id = exchange.id;
  record.route = exchange.route;
  record.owner = exchange.owner;
  record.status = gone ? kClientGone : exchange.status();
  record.ended_us = steady_clock().now_us();
  metrics_.answered(record.route, record.status);
  if (route == nullptr || route->logged) log_.write(record);
}

asio::awaitable<void> ApiService::answer(Exchange& exchange, const Route& route, AccessRecord& record) {
  if (route.needs_key) identify(exchange);
  ApiKeys::Admission admission;
  if (route.method == http::verb::post) {
    admission = options_.keys.admit(exchange.owner, record.begun_us);
    if (route.json) expect_json(exchange.request());
    if (options_.cors_origin.empty()) refuse_other_sites(exchange.request());
  }
  if (route.reply) {
    Reply reply = route.reply(*this, exchange);
    co_await exchange.reply(std::move(reply));
  } else {
    const auto served = model();
    const Endpoint endpoint = *endpoint_of(exchange.path());
    if (endpoint == Endpoint::kEmbeddings) {
      co_await answer_embeddings(exchange, *served, record);
    } else {
      co_await answer_completion(exchange, *served, endpoint, record);
    }
  }
}

Reply ApiService::error_reply(const Exchange& exchange, const ApiError& error) const {
  Reply reply = json_reply(error.body(), error.status());
  if (error.status() == 429 || error.status() == 503) {
    const auto served = model_.load();
    reply.headers.emplace_back("Retry-After", fmt::format("{}", served == nullptr ? 5 : served->loop->retry_after_seconds()));
  }
  if (error.status() == 401) reply.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status() == 405) reply.headers.emplace_back("Allow", allowed_methods(exchange));
  return reply;
}

std::string ApiService::allowed_methods(const Exchange& exchange) const {
  std::string methods;
  for (const Route& route : routes()) {
    if (match(route.path, exchange.path())) methods += (methods.empty() ? "" : ", ") + std::string(http::to_string(route.method));
  }
  return methods;
}

const ApiService::Route& ApiService::find_route(const Exchange& exchange) const {
  static const Route any_preflight = {http::verb::options, "preflight", &ApiService::preflight, false, false};
  if (exchange.request().method() == http::verb::options && !options_.cors_origin.empty()) return any_preflight;
  const http::verb method = exchange.request().method() == http::verb::head ? http::verb::get : exchange.request().method();
  const auto found = std::ranges::find_if(routes(), [&](const Route& route) { return route.method == method && match(route.path, exchange.path()); });
  if (found != routes().end()) return *found;
  const std::string methods = allowed_methods(exchange);
  if (!methods.empty()) throw ApiError(405, fmt::format("this path takes {}", methods), "", "method_not_allowed");
  throw ApiError(404, "there is no such path; /openapi.json lists those that there are", "", "not_found");
}

void ApiService::identify(Exchange& exchange) const {
  const auto authorization = exchange.request()[http::field::authorization];
  std::optional<std::string> name = options_.keys.name_of({authorization.data(), authorization.size()});
  if (!name) throw ApiError(401, "the request carries no key that this server knows (Authorization: Bearer KEY)", "", "invalid_api_key");
  exchange.owner = std::move(*name);
}

void ApiService::expect_local_name(const HttpRequest& request) const {
  const auto host = request[http::field::host];
  if (is_local_name({host.data(), host.size()})) return;
  throw ApiError(403, "this server listens on loopback only and has no API keys, so it answers to localhost and addresses, not to other names (DNS rebinding): "
                      "set server.api_keys, or have the proxy send another Host", "", "forbidden_host");
}

ServerMetrics::Gauges ApiService::gauges() const {
  const auto model = model_.load();
  if (model == nullptr) return {};
  return {.engine = model->loop->engine_stats(), .queued = model->loop->num_queued(), .max_sequences = model->max_sequences, .connections = server_.load()->open_connections()};
}

Reply ApiService::list_models(const Exchange&) const {
  const json::object entry = model_record(*model());
  return json_reply(json::object{{"object", "list"}, {"data", json::array{entry}}});
}

Reply ApiService::get_model(const Exchange& exchange) const {
  const auto served = model();
  expect_model(*served, to_valid_utf8(percent_decoded(exchange.parameter)));
  return json_reply(model_record(*served));
}

Reply ApiService::tokenize(const Exchange& exchange) const {
  const auto served = model();
  return json_reply(tokenize_body(parse_json_object(exchange.request().body(), "the body"), completion_context(*served)));
}

Reply ApiService::detokenize(const Exchange& exchange) const {
  const auto served = model();
  return json_reply(detokenize_body(parse_json_object(exchange.request().body(), "the body"), *served->tokenizer));
}

Reply ApiService::health(const Exchange&) const {
  const auto served = model_.load();
  const std::string status = served == nullptr ? "loading" : served->loop->draining() ? "ending" : "ok";
  return json_reply(json::object{{"status", status}}, status == "ok" ? 200 : 503);
}

Reply ApiService::version(const Exchange&) const { return json_reply(json::object{{"version", TERRACE_VERSION}}); }

Reply ApiService::metrics_text(const Exchange&) const { return {.body = metrics_.text(gauges()), .type = "text/plain; version=0.0.4; charset=utf-8"}; }

Reply ApiService::live_stats(const Exchange&) const { return json_reply(metrics_.live(gauges())); }

Reply ApiService::openapi(const Exchange&) const { return {.body = std::string(openapi_document())}; }

std::vector<std::string> ApiService::paths() {
  std::vector<std::string> all;
  for (const Route& route : routes()) {
    if (route.path != "/" && !route.path.starts_with("/assets/")) all.push_back(fmt::format("{} {}", std::string_view(http::to_string(route.method)), route.path));
  }
  return all;
}

Reply ApiService::web_page(const Exchange& exchange) const {
  return web_page_reply(exchange.request(), exchange.path() == "/" ? "index.html" : exchange.parameter);
}

Reply ApiService::preflight(const Exchange& exchange) const { return preflight_reply(exchange.request()); }

}  // namespace terrace
