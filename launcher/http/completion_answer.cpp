#include "launcher/http/completion_answer.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <ctime>
#include <optional>
#include <random>

#include "launcher/api/api_error.h"
#include "launcher/api/completion_collector.h"
#include "launcher/api/json_body.h"
#include "launcher/http/job_ticket.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

// A client or proxy that hears nothing for long gives up; a comment line keeps it there.
constexpr auto kHeartbeat = std::chrono::seconds(15);

// One request from its body to the end of its answer. (Arguments of an awaited call are named objects throughout: GCC 12 destroys some temporaries there twice,
// as gcc.gnu.org/PR104031 and its kin say.)
class CompletionAnswer {
 public:
  CompletionAnswer(Exchange& exchange, const ServedModel& model, CompletionRequest request, AccessRecord& record)
      : exchange_(exchange), model_(model), request_(std::move(request)), record_(record), collector_(request_, *model.tokenizer) {
    const bool chat = request_.endpoint == Endpoint::kChatCompletions;
    id_ = fmt::format("{}-{}", chat ? "chatcmpl" : "cmpl", exchange.id);
    record_.prompt_tokens = collector_.prompt_tokens();
  }

  asio::awaitable<void> run() {
    JobTicket ticket(*model_.loop, exchange_, choices_of(request_), request_.queueing, record_);
    while (true) {
      const Mailbox::Mail mail = ticket.take();
      if (const std::optional<ApiError> error = take(mail, ticket)) co_return co_await fail(*error);
      if (collector_.done()) break;
      if (request_.stream && !mail.items.empty()) co_await send_deltas();
      const bool woken = co_await ticket.wait(kHeartbeat);
      if (woken || !request_.stream) continue;
      std::string comment = ": waiting\n\n";
      co_await send(std::move(comment));
    }
    ticket.ended();
    co_await finish();
  }

 private:
  // What ended the request before its answer was complete, if anything did.
  std::optional<ApiError> take(const Mailbox::Mail& mail, JobTicket& ticket) {
    if (!mail.items.empty()) record_.times = mail.times;
    try {
      for (const Mailbox::Item& item : mail.items) {
        if (collector_.accept(item.choice, item.event)) ticket.cancel_choice(item.choice);
      }
    } catch (const ApiError& error) {  // of one choice; the others end with the ticket
      return error;
    }
    if (mail.error) ticket.ended();
    return mail.error;
  }

  asio::awaitable<void> send(std::string text) {
    if (!exchange_.streaming()) {
      std::string type = "text/event-stream";
      co_await exchange_.begin_stream(std::move(type));
    }
    co_await exchange_.send_piece(std::move(text));
  }

  json::object chunk(json::array choices) const {
    const bool chat = request_.endpoint == Endpoint::kChatCompletions;
    json::object body{{"id", id_}, {"object", chat ? "chat.completion.chunk" : "text_completion"}, {"created", created_}, {"model", model_.name},
                      {"choices", std::move(choices)}};
    return body;
  }

  // One chunk for each choice that has something new, as clients expect them.
  std::string delta_events() {
    std::string events;
    for (json::value& choice : collector_.take_deltas()) {
      json::object body = chunk({std::move(choice)});
      if (request_.include_usage) body["usage"] = nullptr;
      events += fmt::format("data: {}\n\n", json::serialize(body));
    }
    return events;
  }

  asio::awaitable<void> send_deltas() {
    std::string events = delta_events();
    if (!events.empty()) co_await send(std::move(events));
  }

  asio::awaitable<void> fail(const ApiError& error) {
    if (!exchange_.streaming()) throw error;
    std::string events = delta_events() + fmt::format("data: {}\n\n", json::serialize(error.body()));
    co_await send(std::move(events));
    co_await exchange_.end_stream();
  }

  asio::awaitable<void> finish() {
    if (!request_.stream) {
      Reply reply;
      reply.body = json::serialize(collector_.response(id_, model_.name, created_));
      co_await exchange_.reply(std::move(reply));
      co_return;
    }
    std::string events = delta_events();
    if (request_.include_usage) {
      json::object body = chunk(json::array());
      body["usage"] = collector_.usage();
      events += fmt::format("data: {}\n\n", json::serialize(body));
    }
    events += "data: [DONE]\n\n";
    co_await send(std::move(events));
    co_await exchange_.end_stream();
  }

  Exchange& exchange_;
  const ServedModel& model_;
  CompletionRequest request_;
  AccessRecord& record_;
  CompletionCollector collector_;
  std::string id_;
  int64_t created_ = std::time(nullptr);
};

}  // namespace

CompletionContext completion_context(const ServedModel& model) {
  CompletionContext context;
  context.tokenizer = model.tokenizer;
  context.chat_template = model.chat_template;
  context.grammars = model.grammars;
  context.defaults = model.defaults;
  context.max_sequence_tokens = model.max_sequence_tokens;
  context.pooling = model.pooling;
  context.hidden_size = model.hidden_size;
  context.default_seed = std::random_device{}();
  context.now_unix = std::time(nullptr);
  context.serving = true;
  return context;
}

void expect_model(const ServedModel& model, const std::string& name) {
  if (name.empty() || name == model.name) return;
  throw ApiError(404, fmt::format("the model '{}' is not served here; this is '{}'", name, model.name), "model", "model_not_found");
}

asio::awaitable<void> answer_completion(Exchange& exchange, const ServedModel& model, Endpoint endpoint, AccessRecord& record) {
  CompletionRequest request = read_completion_request(endpoint, parse_json_object(exchange.request().body(), "the body"), completion_context(model));
  expect_model(model, request.model);
  CompletionAnswer answer(exchange, model, std::move(request), record);
  co_await answer.run();
}

}  // namespace terrace
