#include "kernels/base/cpu_count.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

namespace terrace {
namespace {

/// First words of a small file; empty where it does not exist.
std::istringstream open_words(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return std::istringstream(line);
}

/// cpu.max: "max 100000" or "150000 100000".
double quota_v2(const std::string& folder) {
  double quota = 0, period = 0;
  std::istringstream words = open_words(folder + "/cpu.max");
  return words >> quota >> period && quota > 0 && period > 0 ? quota / period : 0;
}

double quota_v1(const std::string& folder) {
  double quota = 0, period = 0;
  std::istringstream quota_words = open_words(folder + "/cpu.cfs_quota_us");
  std::istringstream period_words = open_words(folder + "/cpu.cfs_period_us");
  return quota_words >> quota && period_words >> period && quota > 0 && period > 0 ? quota / period : 0;
}

/// The smallest quota of `path` and the cgroups above it. A container may see its own cgroup mounted as the root: that is tried last.
template <typename Quota>
double smallest_quota(const std::string& mount, std::string path, Quota quota_of) {
  double smallest = 0;
  for (;;) {
    const double quota = quota_of(mount + path);
    if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
    if (path.empty()) return smallest;
    path.resize(std::min(path.rfind('/'), path.size()));
  }
}

int cores_in_mask() {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  if (sched_getaffinity(0, sizeof(mask), &mask) != 0) return static_cast<int>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  return CPU_COUNT(&mask);
}

}  // namespace

double cgroup_cpu_quota(const std::string& proc_cgroup, const std::string& mount) {
  std::istringstream lines(proc_cgroup);  // "0::/path" (v2), "3:cpu,cpuacct:/path" (v1)
  double smallest = 0;
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    std::string controllers = ",";
    controllers.append(line, first + 1, second - first - 1).append(",");
    std::string path = line.substr(second + 1);
    if (path.empty() || path.back() == '/') path.clear();
    double quota = 0;
    if (controllers == ",,") quota = smallest_quota(mount, path, quota_v2);
    if (controllers.find(",cpu,") != std::string::npos) quota = smallest_quota(mount + "/cpu", path, quota_v1);
    if (quota > 0 && (smallest == 0 || quota < smallest)) smallest = quota;
  }
  return smallest;
}

int usable_cores() {
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream text;
  text << file.rdbuf();
  const int cores = cores_in_mask();
  const double quota = cgroup_cpu_quota(text.str(), "/sys/fs/cgroup");
  return std::max(1, quota > 0 ? std::min(cores, static_cast<int>(std::ceil(quota))) : cores);
}

}  // namespace terrace
