#include "launcher/http/job_ticket.h"

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>

namespace terrace {

namespace asio = boost::asio;

JobTicket::JobTicket(EngineLoop& loop, Exchange& exchange, std::vector<Request> choices, const Queueing& queueing, const AccessRecord& record)
    : loop_(loop), wake_(std::make_shared<asio::steady_timer>(exchange.executor())) {
  const auto wake = [executor = exchange.executor(), timer = std::weak_ptr(wake_)] {
    asio::post(executor, [timer] {
      if (const auto there = timer.lock()) there->cancel();
    });
  };
  mailbox_ = std::make_shared<Mailbox>(wake);
  Job job;
  job.choices = std::move(choices);
  job.owner = exchange.owner;
  job.priority = queueing.priority;
  if (queueing.timeout_seconds > 0) job.deadline_us = record.begun_us + static_cast<int64_t>(queueing.timeout_seconds * 1e6);
  job.mailbox = mailbox_;
  id_ = loop.submit(std::move(job));
}

JobTicket::~JobTicket() {
  if (!ended_) loop_.cancel(id_);
}

asio::awaitable<bool> JobTicket::wait(std::chrono::seconds longest) {
  if (!mailbox_->empty()) co_return true;
  wake_->expires_after(longest);
  const auto [woken] = co_await wake_->async_wait(asio::as_tuple(asio::use_awaitable));
  co_return static_cast<bool>(woken);
}

}  // namespace terrace
