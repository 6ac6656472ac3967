// The body of a /v1/embeddings request, read strictly and turned into sequences for the engine, one for each input. Meanings as in OpenAI's API reference;
// `pooling` is ours.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/api/common_fields.h"
#include "launcher/api/completion_request.h"
#include "runtime/request.h"

namespace terrace {

struct EmbeddingRequest {
  std::string model;
  std::vector<std::vector<int32_t>> inputs;  // token ids, none empty
  Request base;            // of each input, but for the prompt
  int32_t dimensions = 0;  // leading ones that are kept
  bool base64 = false;     // vectors go as text: their floats' bytes, the lowest first
  Queueing queueing;

  int32_t num_choices() const { return static_cast<int32_t>(inputs.size()); }
  /// The engine's request of input `index`.
  Request choice(int32_t index) const;
};

/// Throws ApiError(400).
EmbeddingRequest read_embedding_request(const boost::json::object& body, const CompletionContext& context);

}  // namespace terrace
