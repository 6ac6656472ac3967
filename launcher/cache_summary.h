// One line about the KV cache at the end of a run.
#pragma once

#include <string>

#include "runtime/engine.h"

namespace terrace {

/// Where the K and V of all tokens came from, what moved, and what planning cost.
std::string cache_summary(const EngineStats& stats);

}  // namespace terrace
