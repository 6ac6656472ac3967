#include "launcher/bench/process_age.h"

#include <fmt/format.h>
#include <unistd.h>

#include <ctime>
#include <fstream>
#include <iterator>
#include <sstream>

#include "comm/group.h"

namespace terrace {
namespace {

constexpr int kStartField = 22;  // of /proc/PID/stat, from 1: proc(5)

std::string read_stat(const std::string& process) {
  std::ifstream file(fmt::format("/proc/{}/stat", process));
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace

std::optional<double> start_ticks(const std::string& stat) {
  const size_t name_end = stat.rfind(')');  // the name may hold blanks and parentheses
  if (name_end == stat.npos) return std::nullopt;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string skipped;
  for (int field = 3; field < kStartField; ++field) fields >> skipped;
  double ticks = 0;
  if (!(fields >> ticks)) return std::nullopt;
  return ticks;
}

std::optional<ProcessAge> job_age() {
  ProcessAge age;
  std::string stat = read_stat("self");
  if (started_by_mpi()) {
    const std::string parent = read_stat(std::to_string(getppid()));
    age.mpirun = parent.find("(mpirun)") != parent.npos || parent.find("(mpiexec)") != parent.npos || parent.find("(prterun)") != parent.npos;
    if (age.mpirun) stat = parent;
  }
  const std::optional<double> ticks = start_ticks(stat);
  timespec now = {};
  if (!ticks || clock_gettime(CLOCK_BOOTTIME, &now) != 0) return std::nullopt;
  age.seconds = static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9 - *ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
  return age;
}

}  // namespace terrace
