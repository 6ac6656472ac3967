// Ranks as threads of this process: the same window that processes of one host use, in ordinary memory. No MPI.
#pragma once

#include <functional>

#include "comm/group.h"

namespace terrace {

/// Runs one body per rank, rank 0 on this thread, and returns the job's exit code: that of the first error (printed once), else the first
/// result that is not 0. Returns only when all bodies are over; a rank that waits for a lost one gets Error(kRankLost).
int run_local_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body);

}  // namespace terrace
