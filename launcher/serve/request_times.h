// When things happened to a request.
#pragma once

#include <cstdint>

#include "runtime/request.h"

namespace terrace {

/// On steady_clock(); 0: not yet.
struct RequestTimes {
  int64_t arrived_us = 0;
  int64_t started_us = 0;  // given to the engine
  int64_t first_token_us = 0;
  int64_t last_token_us = 0;
  int64_t num_tokens = 0;  // of all choices
  TokenSources sources = {};    // so far
};

}  // namespace terrace
