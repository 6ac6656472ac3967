#include "kernels/base/cpu_count.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

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

/// Of a list like "0-3,8,10-11". What cannot be read ends it.
CoreSet parse_core_list(std::istringstream words) {
  CoreSet cores;
  size_t first = 0;
  while (words >> first) {
    size_t last = first;
    if (words.peek() == '-') words.ignore() >> last;
    for (size_t core = first; core <= last && core < cores.size(); ++core) cores.set(core);
    if (words.peek() == ',') words.ignore();
  }
  return cores;
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

double cgroup_cpu_quota() {
  std::ifstream file("/proc/self/cgroup");
  std::ostringstream text;
  text << file.rdbuf();
  return cgroup_cpu_quota(text.str(), "/sys/fs/cgroup");
}

CoreSet affinity_mask() {
  CoreSet cores;
  std::array<cpu_set_t, CoreSet().size() / CPU_SETSIZE> mask = {};
  const bool known = sched_getaffinity(0, sizeof(mask), mask.data()) == 0;
  const auto online = static_cast<size_t>(std::max(1L, sysconf(_SC_NPROCESSORS_ONLN)));
  for (size_t core = 0; core < cores.size(); ++core) cores.set(core, known ? CPU_ISSET_S(core, sizeof(mask), mask.data()) : core < online);
  return cores;
}

int share_of_cores(std::span<const CoreSet> masks, size_t self, double quota) {
  const auto sharers = std::count_if(masks.begin(), masks.end(), [&](const CoreSet& mask) { return (mask & masks[self]).any(); });
  const auto cores = static_cast<double>(masks[self].count()) / static_cast<double>(std::max<long>(sharers, 1));
  const double most = quota > 0 ? std::ceil(quota) / static_cast<double>(masks.size()) : cores;
  return static_cast<int>(std::min(cores, most));
}

int usable_cores() {
  const CoreSet mask = affinity_mask();
  return std::max(1, share_of_cores({&mask, 1}, 0, cgroup_cpu_quota()));
}

int count_memory_nodes(const CoreSet& cores, const std::string& folder) {
  int nodes = 0;
  std::error_code none;
  for (const std::filesystem::directory_entry& entry : std::filesystem::directory_iterator(folder, none)) {  // node0, node1, and other things without a list of cores
    if ((parse_core_list(open_words(entry.path() / "cpulist")) & cores).any()) ++nodes;
  }
  return std::max(1, nodes);
}

}  // namespace terrace
