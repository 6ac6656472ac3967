// One line about the KV cache at the end of a run.
#pragma once

#include <string>

#include "runtime/engine.h"

namespace terrace {

/// What sparse reading has read, by layer and KV head; empty where nothing reads sparsely.
std::string reading_summary(const ReadingStats& reading);

/// Where the K and V of all tokens came from, what moved, and what planning cost.
std::string cache_summary(const EngineStats& stats);

}  // namespace terrace
