// A request's place in the engine as its connection sees it: put in, waited for, and given up when it goes out of scope. Lives on the connection's executor.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <memory>
#include <vector>

#include "launcher/api/common_fields.h"
#include "launcher/http/exchange.h"
#include "launcher/serve/access_log.h"
#include "launcher/serve/engine_loop.h"

namespace terrace {

/// All choices of an API request, as the engine takes them.
template <typename ApiRequest>
std::vector<Request> choices_of(const ApiRequest& request) {
  std::vector<Request> choices;
  for (int32_t i = 0; i < request.num_choices(); ++i) choices.push_back(request.choice(i));
  return choices;
}

class JobTicket {
 public:
  /// Submits the choices for the exchange's owner; `record`: when the request came. Throws ApiError as EngineLoop::submit() does. `loop` outlives the ticket.
  JobTicket(EngineLoop& loop, Exchange& exchange, std::vector<Request> choices, const Queueing& queueing, const AccessRecord& record);
  ~JobTicket();
  JobTicket(const JobTicket&) = delete;
  JobTicket& operator=(const JobTicket&) = delete;

  Mailbox::Mail take() { return mailbox_->take(); }
  /// Until there is mail. False: there was none for so long.
  boost::asio::awaitable<bool> wait(std::chrono::seconds longest);
  void cancel_choice(int32_t choice) { loop_.cancel_choice(id_, choice); }
  /// Nothing more will come of it.
  void ended() { ended_ = true; }

 private:
  EngineLoop& loop_;
  std::shared_ptr<boost::asio::steady_timer> wake_;
  std::shared_ptr<Mailbox> mailbox_;
  JobId id_ = 0;
  bool ended_ = false;
};

}  // namespace terrace
