// Gathers the vectors of one embeddings request's inputs into its response. One per request, one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "launcher/api/answer_collector.h"
#include "launcher/api/embedding_request.h"

namespace terrace {

class EmbeddingCollector final : public AnswerCollector {
 public:
  /// `request` outlives the collector.
  explicit EmbeddingCollector(const EmbeddingRequest& request) : request_(request), vectors_(request.inputs.size()) {}

  bool accept(int32_t index, const SequenceEvent& event) override;
  bool done() const override { return num_finished_ == request_.num_choices(); }
  int64_t prompt_tokens() const override;
  int64_t completion_tokens() const override { return 0; }
  /// Such answers carry neither an id nor a time.
  boost::json::object response(const std::string& id, const std::string& model, int64_t created) const override;

 private:
  const EmbeddingRequest& request_;
  std::vector<std::vector<float>> vectors_;  // of those that have come, cut and of length 1
  int32_t num_finished_ = 0;
};

}  // namespace terrace
