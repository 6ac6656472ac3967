// One line of a batch file as a request: {"custom_id", "method": "POST", "url", "body"}. Pure.
#pragma once

#include <boost/json/fwd.hpp>
#include <memory>
#include <variant>

#include "launcher/api/answer_collector.h"
#include "launcher/api/completion_request.h"
#include "launcher/api/embedding_request.h"

namespace terrace {

struct BatchRequest {
  std::variant<CompletionRequest, EmbeddingRequest> body;

  const std::string& model() const;
  int32_t num_choices() const;
  /// The engine's request of choice `index`.
  Request choice(int32_t index) const;
  /// What the ids of its answers begin with.
  const char* id_prefix() const;
  /// This and `tokenizer` outlive it.
  std::unique_ptr<AnswerCollector> make_collector(const Tokenizer& tokenizer) const;
};

/// Throws ApiError(400) that names the field; context.default_seed is that of a body without a seed.
BatchRequest read_batch_request(const boost::json::object& line, const CompletionContext& context);

}  // namespace terrace
