// From the configuration and the command line to what the ranks and the session want, one way for every verb that loads a model.
#pragma once

#include "comm/group.h"
#include "launcher/progress.h"
#include "runtime/session.h"

namespace terrace {

GroupOptions group_options(const Config& config);

/// Start lines unless `mode` is none; rank 0 shows loading in `progress`, which outlives the session's construction.
Session::Options session_options(ProgressMode mode, int rank, Progress& progress);

}  // namespace terrace
