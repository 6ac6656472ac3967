// When the checker is there: where every access of a kernel is seen, that is for instrumented C++ kernels and for interpreted ones. Any thread.
#pragma once

namespace cudasim {

/// Installs the one RaceChecker of this process, once.
void install_race_checker();

}  // namespace cudasim
