// `terrace serve`: the OpenAI-compatible server on rank 0, in front of the engine of all ranks.
#pragma once

#include <string>
#include <vector>

#include "launcher/progress.h"

namespace terrace {

struct ServeOptions {
  std::string config;
  std::vector<std::string> sets;
  ProgressMode progress = ProgressMode::kAuto;
};

/// Until SIGTERM or SIGINT; 0 when every accepted request was answered.
int run_serve(const ServeOptions& options);

}  // namespace terrace
