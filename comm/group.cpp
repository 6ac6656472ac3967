#include "comm/group.h"

#include <cstdlib>

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

}  // namespace terrace
