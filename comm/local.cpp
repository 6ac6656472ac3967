#include "comm/local.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>
#include <system_error>
#include <thread>
#include <vector>

#include "comm/shared_memory.h"
#include "comm/window.h"
#include "comm/window_collective.h"
#include "comm/window_control.h"
#include "kernels/base/cpu_count.h"
#include "kernels/base/log.h"

namespace terrace {
namespace {

/// An exception that follows from the end of the job is not news; the first one ends it.
void end_job(Control& control, ErrorCode code, std::string_view message) {
  control.abort(code, control.size() == 1 ? std::string(message) : fmt::format("rank {}: {}", control.rank(), message));
}

void run_rank(Window& window, int rank, int cores, bool spin, const std::function<int(RankGroup&)>& body) {
  RankGroup group;
  group.control = std::make_unique<WindowControl>(window, rank);
  group.collective = std::make_unique<WindowCollective>(window, rank);
  group.rank = group.local_rank = rank;
  group.size = group.local_size = window.size();
  group.cores = cores;
  group.spin = spin;
  window.state(rank).pid.store(::getpid());
  int result = 0;
  try {
    result = body(group);
  } catch (const Error& error) {
    end_job(*group.control, error.code(), error.what());
  } catch (const std::exception& error) {
    end_job(*group.control, ErrorCode::kInternal, error.what());
  }
  window.set_done(rank, result);
}

}  // namespace

int run_local_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body) {
  const int size = std::max(1, options.local_ranks);
  const int cores = usable_cores();
  if (size > cores) log_warning(fmt::format("{} ranks on {} cores: they take turns, expect it to be slow", size, cores));
  const int share = cores / size;
  const bool spin = options.spin && share > 0;
  const SharedMemory memory = SharedMemory::for_threads(Window::bytes_needed(size));
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  Window window(memory.data(), size, ranks, spin);
  {
    std::vector<std::jthread> threads;
    try {
      for (int rank = 1; rank < size; ++rank) threads.emplace_back([&, rank] { run_rank(window, rank, share, spin, body); });
      run_rank(window, 0, share, spin, body);
    } catch (const std::system_error& error) {  // those that did start must not wait for the others
      if (window.claim_abort(exit_code(ErrorCode::kOutOfMemory))) {
        log_error(fmt::format("cannot start a thread for each of {} ranks: {}. Lower parallel.ranks.", size, error.what()));
      }
    }
  }
  if (const std::optional<int> code = window.aborted()) return *code;
  for (const int rank : ranks) {
    if (const int result = window.state(rank).result.load()) return result;
  }
  return 0;
}

}  // namespace terrace
