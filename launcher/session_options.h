// How the verbs that load a model show its loading.
#pragma once

#include "launcher/progress.h"
#include "runtime/session.h"

namespace terrace {

/// Start lines unless `mode` is none; rank 0 shows loading in `progress`, which outlives the session's construction.
Session::Options session_options(ProgressMode mode, int rank, Progress& progress);

}  // namespace terrace
