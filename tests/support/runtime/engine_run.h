// Runs requests through a whole session on ranks as threads, for tests.
#pragma once

#include <map>
#include <vector>

#include "runtime/config.h"
#include "runtime/engine.h"
#include "runtime/request.h"

namespace terrace {

using Outputs = std::map<SequenceId, std::vector<SequenceEvent>>;  // ids count from 1 in the order of the requests

/// Submits all requests at once and steps until all have ended. Fails the test when a rank fails.
Outputs run_engine(const Config& config, int ranks, const std::vector<Request>& requests, EngineStats* stats = nullptr);

}  // namespace terrace
