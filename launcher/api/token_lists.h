// The bodies of /tokenize and /detokenize, with vLLM's fields. Pure.
#pragma once

#include <boost/json/fwd.hpp>

#include "launcher/api/completion_request.h"

namespace terrace {

/// {"prompt": text} or {"messages": [...]} to {"tokens", "count", "max_model_len"}. Throws ApiError(400).
boost::json::object tokenize_body(const boost::json::object& body, const CompletionContext& context);

/// {"tokens": [...]} to {"prompt": text}. Throws ApiError(400).
boost::json::object detokenize_body(const boost::json::object& body, const Tokenizer& tokenizer);

}  // namespace terrace
