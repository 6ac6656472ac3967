#include "comm/group.h"

#include <cstdlib>

#include "comm/local.h"
#include "comm/mpi.h"

namespace terrace {
namespace {

constexpr const char* kRankVariables[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK", "PMI_RANK"};

}  // namespace

bool started_by_mpi() {
  for (const char* name : kRankVariables) {
    if (std::getenv(name) != nullptr) return true;
  }
  return false;
}

int early_rank() {
  for (const char* name : kRankVariables) {
    if (const char* value = std::getenv(name)) return std::atoi(value);
  }
  return 0;
}

int run_ranks(const GroupOptions& options, const std::function<int(RankGroup&)>& body) { 
  return started_by_mpi() ? run_mpi_ranks(options, body) : run_local_ranks(options, body);
}

}  // namespace terrace
