#include "comm/mpi.h"

#include <fmt/format.h>
#include <mpi.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "comm/mpi_control.h"
#include "comm/mpi_link.h"
#include "comm/rank_watch.h"
#include "comm/shared_memory.h"
#include "comm/window.h"
#include "comm/window_collective.h"
#include "kernels/base/cpu_count.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

/// mpirun binds each of one or two ranks to a single core unless told not to (scripts/mpi_env.sh); then the cores of its own mask are meant.
void undo_single_core_binding() {
  cpu_set_t mine, parents;
  CPU_ZERO(&mine);
  CPU_ZERO(&parents);
  if (std::getenv("OMPI_COMM_WORLD_RANK") == nullptr) return;
  if (sched_getaffinity(0, sizeof(mine), &mine) != 0 || sched_getaffinity(getppid(), sizeof(parents), &parents) != 0) return;
  if (CPU_COUNT(&mine) == 1 && CPU_COUNT(&parents) > 1) sched_setaffinity(0, sizeof(parents), &parents);
}

/// Where this rank and the others are.
struct Place {
  int rank = 0;
  int size = 1;
  int local_rank = 0;  // on the machine
  int local_size = 1;
  int cores = 1;         // for this rank alone, as in RankGroup
  bool crowded = false;  // some rank of the machine has no core for itself
  MPI_Comm host = MPI_COMM_NULL;  // the machine's ranks, or those of a pretended part of it
  std::vector<int> host_ranks;
  std::vector<int> leader_of;  // [size]
  bool several_hosts = false;
};

/// Ranks may be bound to cores of their own (mpirun --map-by numa --bind-to numa) or share all of the machine's.
void share_out_cores(MPI_Comm machine, Place& place) {
  const CoreSet mine = affinity_mask();
  std::vector<CoreSet> masks(static_cast<size_t>(place.local_size));
  static_assert(std::is_trivially_copyable_v<CoreSet>);
  MPI_Allgather(&mine, sizeof(mine), MPI_BYTE, masks.data(), sizeof(mine), MPI_BYTE, machine);
  const double quota = cgroup_cpu_quota();
  place.cores = share_of_cores(masks, static_cast<size_t>(place.local_rank), quota);
  for (size_t rank = 0; rank < masks.size(); ++rank) place.crowded = place.crowded || share_of_cores(masks, rank, quota) == 0;
}

Place find_place(int pretend_hosts) {
  Place place;
  MPI_Comm_rank(MPI_COMM_WORLD, &place.rank);
  MPI_Comm_size(MPI_COMM_WORLD, &place.size);
  MPI_Comm machine;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, place.rank, MPI_INFO_NULL, &machine);
  MPI_Comm_rank(machine, &place.local_rank);
  MPI_Comm_size(machine, &place.local_size);
  share_out_cores(machine, place);
  const int parts = std::clamp(pretend_hosts, 1, place.local_size);
  MPI_Comm_split(machine, place.local_rank * parts / place.local_size, place.rank, &place.host);
  MPI_Comm_free(&machine);
  int host_size = 0;
  MPI_Comm_size(place.host, &host_size);
  place.host_ranks.resize(static_cast<size_t>(host_size));
  MPI_Allgather(&place.rank, 1, MPI_INT, place.host_ranks.data(), 1, MPI_INT, place.host);
  place.leader_of.resize(static_cast<size_t>(place.size));
  MPI_Allgather(&place.host_ranks[0], 1, MPI_INT, place.leader_of.data(), 1, MPI_INT, MPI_COMM_WORLD);
  place.several_hosts = host_size != place.size;
  return place;
}

/// The host's leader makes the memory, the others open it; nobody's fd outlives this call.
SharedMemory share_memory(const Place& place) {
  const size_t bytes = Window::bytes_needed(place.size);
  const bool leads = place.rank == place.host_ranks.front();
  int key[2] = {0, 0};  // pid, fd
  if (leads) {
    SharedMemory memory = SharedMemory::for_processes(bytes);
    key[0] = ::getpid();
    key[1] = memory.fd();
    MPI_Bcast(key, 2, MPI_INT, 0, place.host);
    MPI_Barrier(place.host);
    memory.close_fd();
    return memory;
  }
  MPI_Bcast(key, 2, MPI_INT, 0, place.host);
  SharedMemory memory = SharedMemory::open(key[0], key[1], bytes);
  memory.close_fd();
  MPI_Barrier(place.host);
  return memory;
}

bool may_spin(const Place& place, const GroupOptions& options) {
  if (place.crowded && place.local_rank == 0) {
    log_warning(fmt::format("{} ranks on {} cores: they take turns, expect it to be slow", place.local_size, usable_cores()));
  }
  return options.spin && !place.crowded;
}

std::string host_name() {
  char name[256] = {};
  ::gethostname(name, sizeof(name) - 1);
  return name;
}

int run_body(RankGroup& group, const std::function<int(RankGroup&)>& body) {
  try {
    return body(group);
  } catch (const Error& error) {
    group.control->abort(error.code(), error.what());
  } catch (const std::exception& error) {
    group.control->abort(ErrorCode::kInternal, error.what());
  }
  return exit_code(ErrorCode::kInternal);  // not reached: abort() leaves
}

int run_in_place(const Place& place, const GroupOptions& options, const std::function<int(RankGroup&)>& body) {
  const bool spin = may_spin(place, options);
  const SharedMemory memory = share_memory(place);
  Window window(memory.data(), place.size, place.host_ranks, spin);
  window.state(place.rank).pid.store(::getpid());
  MPI_Barrier(place.host);
  RankWatch watch(window, place.rank, host_name(), options.last_words);

  const bool leads_one_of_several = place.several_hosts && place.rank == window.leader();
  std::unique_ptr<MpiLink> link;
  if (leads_one_of_several) link = std::make_unique<MpiLink>(window, place.leader_of, spin);
  auto control = std::make_unique<MpiControl>(window, place.rank, link.get());
  MpiControl& job = *control;
  RankGroup group{.control = std::move(control),
                  .collective = std::make_unique<WindowCollective>(window, place.rank, link.get()),
                  .rank = place.rank,
                  .size = place.size,
                  .local_rank = place.local_rank,
                  .local_size = place.local_size,
                  .cores = place.cores,
                  .mpi = true,
                  .spin = spin};
  const int result = run_body(group, body);
  int code = 0;
  try {
    code = job.agree_on_result(result);
  } catch (const Error& error) {
    job.abort(error.code(), error.what());
  }
  window.state(place.rank).left.store(1);
  MPI_Finalize();
  return code;
}

}  // namespace

int run_mpi_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body) {
  undo_single_core_binding();
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);
  const Place place = find_place(options.pretend_hosts);
  if (place.size > 1) set_log_prefix(fmt::format("[rank {}] ", place.rank));
  try {
    return run_in_place(place, options, body);
  } catch (const Error& error) {  // before there was a window to say it by
    log_error(error.what());
    MPI_Abort(MPI_COMM_WORLD, exit_code(error.code()));
    return exit_code(error.code());
  }
}

}  // namespace terrace
