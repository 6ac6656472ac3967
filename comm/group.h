// One rank's two connections to the others, and how ranks come to be: processes of an mpirun job, or threads of this process.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "comm/collective.h"
#include "comm/control.h"
#include "comm/last_words.h"

namespace terrace {

struct RankGroup {
  std::unique_ptr<Control> control;
  std::unique_ptr<Collective> collective;
  int rank = 0;
  int size = 1;
  int local_rank = 0;   // among the ranks of this host
  int local_size = 1;
  int cores = 1;        // of the host for this rank alone; 0 where ranks outnumber cores
  bool mpi = false;
  bool spin = true;     // false where ranks outnumber cores: whoever waits in this rank should yield
};

struct GroupOptions {
  int local_ranks = 1;     // ranks as threads, when not under mpirun (parallel.ranks)
  int pretend_hosts = 0;   // > 1: treat the ranks of this host as if they were on so many hosts (tests the MPI path)
  bool spin = true;
  LastWords* last_words = nullptr;  // outlives run_ranks(); only processes have any use for it: a thread's body is left by an exception
};

/// True when this process was started by mpirun (or srun, with PMI/PMIx variables). Does not call MPI.
bool started_by_mpi();

/// Runs `body` once per rank and returns the exit code that every rank leaves with. Under mpirun: MPI_Init_thread(FUNNELED), one body on
/// this thread, MPI_Finalize. Otherwise options.local_ranks bodies, rank 0 on this thread. An exception from a body is caught here, becomes
/// abort() for all the others, is printed once, and its exit code is returned.
int run_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body);

/// This process's rank under mpirun before MPI is initialised (from the environment), else 0: for messages.
int early_rank();

}  // namespace terrace
