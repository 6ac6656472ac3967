#include "launcher/http/embedding_answer.h"

#include <boost/json.hpp>
#include <chrono>
#include <utility>

#include "launcher/api/embedding_collector.h"
#include "launcher/api/json_body.h"
#include "launcher/http/completion_answer.h"
#include "launcher/http/job_ticket.h"

namespace terrace {
namespace {

namespace asio = boost::asio;

constexpr auto kWait = std::chrono::seconds(60);  // and then again

}  // namespace

asio::awaitable<void> answer_embeddings(Exchange& exchange, const ServedModel& model, AccessRecord& record) {
  const EmbeddingRequest request = read_embedding_request(parse_json_object(exchange.request().body(), "the body"), completion_context(model));
  expect_model(model, request.model);
  EmbeddingCollector collector(request);
  record.prompt_tokens = collector.prompt_tokens();
  JobTicket ticket(*model.loop, exchange, choices_of(request), request.queueing, record);
  while (!collector.done()) {
    co_await ticket.wait(kWait);
    const Mailbox::Mail mail = ticket.take();
    if (!mail.items.empty()) record.times = mail.times;
    for (const Mailbox::Item& item : mail.items) collector.accept(item.choice, item.event);
    if (!mail.error) continue;
    ticket.ended();
    throw ApiError(*mail.error);
  }
  ticket.ended();
  Reply reply = json_reply(collector.response({}, model.name, 0));
  co_await exchange.reply(std::move(reply));
}

}  // namespace terrace
