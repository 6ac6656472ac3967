// A scheduler alone, without ranks: requests that run to their end, every sampled token being 7.
#pragma once

#include "runtime/scheduler.h"

namespace terrace::testing {

/// The tokens 0 to prompt - 1, greedily.
Request count_up(int prompt, int max_tokens);
/// Where its tokens came from.
TokenSources run_to_end(Scheduler& scheduler, SequenceId id, const Request& request);

}  // namespace terrace::testing
