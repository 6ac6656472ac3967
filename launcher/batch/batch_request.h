// One line of a batch file as a request: {"custom_id", "method": "POST", "url", "body"}. Pure.
#pragma once

#include <boost/json/fwd.hpp>

#include "launcher/api/completion_request.h"

namespace terrace {

/// Throws ApiError(400) that names the field; context.default_seed is that of a body without a seed.
CompletionRequest read_batch_request(const boost::json::object& line, const CompletionContext& context);

}  // namespace terrace
