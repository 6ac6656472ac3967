// Faults of the closed memories: names the allocation, and ends the process (exit code 87); others go on to whoever handled them before. Any thread.
#pragma once

namespace cudasim {

/// Once; repeated calls do nothing.
void install_fault_handler();

}  // namespace cudasim
