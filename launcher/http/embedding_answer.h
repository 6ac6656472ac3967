// Answers /v1/embeddings: one vector for each input, when all have been computed.
#pragma once

#include <boost/asio/awaitable.hpp>

#include "launcher/http/exchange.h"
#include "launcher/serve/access_log.h"
#include "launcher/serve/served_model.h"

namespace terrace {

/// Throws ApiError for what is refused. When it is cancelled, so is the request.
boost::asio::awaitable<void> answer_embeddings(Exchange& exchange, const ServedModel& model, AccessRecord& record);

}  // namespace terrace
