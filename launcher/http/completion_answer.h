// Answers /v1/completions and /v1/chat/completions: whole, or as server-sent events while the engine computes.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "launcher/api/completion_request.h"
#include "launcher/http/exchange.h"
#include "launcher/serve/access_log.h"
#include "launcher/serve/served_model.h"

namespace terrace {

CompletionContext completion_context(const ServedModel& model);
/// Throws ApiError(404) where a request names another model.
void expect_model(const ServedModel& model, const std::string& name);

/// Throws ApiError for what is refused before an answer has begun. When it is cancelled, so is the request.
boost::asio::awaitable<void> answer_completion(Exchange& exchange, const ServedModel& model, Endpoint endpoint, AccessRecord& record);

}  // namespace terrace
