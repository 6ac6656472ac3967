// How many cores this process may keep busy. Any thread.
#pragma once

#include <string>

namespace terrace {

/// Cores in this process's affinity mask, at most its cgroup's CPU quota (v1 or v2), rounded up; at least 1.
int usable_cores();

/// The quota of the cgroups in `proc_cgroup` (text of /proc/self/cgroup) below `mount` (/sys/fs/cgroup), in cores; 0 where there is none.
double cgroup_cpu_quota(const std::string& proc_cgroup, const std::string& mount);

}  // namespace terrace
