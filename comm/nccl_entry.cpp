// What the executable calls by name (kernels/base/cuda_module.h); kernels/cuda/module_entry.cpp has the backend's.
#include "comm/nccl_collective.h"

/// Ownership goes to the caller; an Error passes through.
extern "C" terrace::Collective* terrace_make_nccl_collective(terrace::RankGroup* group, const terrace::DeviceLink* link) {
  return new terrace::NcclCollective(*group, *link);
}
