// Gathers the events of one request's sequences into its response, whatever was asked. One per request, one thread.
#pragma once

#include <boost/json/fwd.hpp>
#include <cstdint>
#include <string>

#include "runtime/request.h"

namespace terrace {

class AnswerCollector {
 public:
  virtual ~AnswerCollector() = default;
  /// Takes an event of choice `index`. True when its sequence is to be cancelled. Throws ApiError(400) for a sequence that the engine refused.
  virtual bool accept(int32_t index, const SequenceEvent& event) = 0;
  /// All choices have ended.
  virtual bool done() const = 0;
  virtual int64_t prompt_tokens() const = 0;
  virtual int64_t completion_tokens() const = 0;
  /// The body of the response; `created` in seconds since 1970.
  virtual boost::json::object response(const std::string& id, const std::string& model, int64_t created) const = 0;
};

}  // namespace terrace
