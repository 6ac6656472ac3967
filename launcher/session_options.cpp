#include "launcher/session_options.h"

#include <fmt/format.h>

#include <algorithm>

namespace terrace {

GroupOptions group_options(const Config& config) {
  return {.local_ranks = config.parallel.ranks, .pretend_hosts = config.comm.pretend_hosts};
}

Session::Options session_options(ProgressMode mode, int rank, Progress& progress) {
  Session::Options result;
  result.announce = mode != ProgressMode::kNone;
  if (rank == 0) {
    result.load_progress = [&progress](size_t done, size_t total) {
      progress.update(static_cast<double>(done) / static_cast<double>(std::max<size_t>(total, 1)),
                      fmt::format("loading weights, {}/{} MiB", done >> 20, total >> 20));
    };
  }
  return result;
}

}  // namespace terrace
