// How long ago a process of this host began: what a user waited since pressing enter. Linux; any thread.
#pragma once

#include <optional>
#include <string>

namespace terrace {

struct ProcessAge {
  double seconds = 0;  // to 10 ms
  bool mpirun = false;  // since mpirun began, else since this process did
};

/// Of this process, or under mpirun of mpirun itself where it is this process's parent. nullopt where /proc does not say.
std::optional<ProcessAge> job_age();

/// Clock ticks after boot at which the process began, from the text of its /proc/PID/stat.
std::optional<double> start_ticks(const std::string& stat);

}  // namespace terrace
