// Ranks as processes of an MPI job (mpirun, srun). The ranks of a host share a window; the first rank of each host (its leader) talks to
// the other leaders by MPI. mpi.h is included by comm/mpi*.cpp only.
#pragma once

#include <functional>

#include "comm/group.h"

namespace terrace {

/// Initialises MPI, runs `body` on this thread, finalises MPI, and returns the code that every rank leaves with. An error in a body or the
/// death of a rank ends every process of the job from in here: then it does not return.
int run_mpi_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body);

}  // namespace terrace
