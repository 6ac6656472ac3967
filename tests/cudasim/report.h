// Findings, the count of API calls and what is said when the process ends. Any thread.
#pragma once

#include "tests/cudasim/core.h"

namespace cudasim {

/// Registers what CUDASIM_COUNT_CALLS, CUDASIM_STATS, CUDASIM_LEAKS and unseen findings print at exit. Once; repeated calls do nothing.
void register_exit_report();

}  // namespace cudasim
