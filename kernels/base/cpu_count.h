// How many cores this process may keep busy, which, and how far their memory is. Any thread.
#pragma once

#include <bitset>
#include <span>
#include <string>

namespace terrace {

using CoreSet = std::bitset<8192>;  // as many as a Linux kernel can be made for

/// Of the calling thread.
CoreSet affinity_mask();

/// Cores in this process's affinity mask, at most its cgroup's CPU quota (v1 or v2), rounded up; at least 1.
int usable_cores();

/// What of `masks[self]` is left for one of a host's processes: its cores, shared with those whose masks have some of them, and at most its
/// share of `quota` cores (0: no quota), which is all processes' together. 0 where processes outnumber cores.
int share_of_cores(std::span<const CoreSet> masks, size_t self, double quota);

/// The quota of the cgroups in `proc_cgroup` (text of /proc/self/cgroup) below `mount` (/sys/fs/cgroup), in cores; 0 where there is none.
double cgroup_cpu_quota(const std::string& proc_cgroup, const std::string& mount);
/// This process's.
double cgroup_cpu_quota();

/// Memory nodes that `cores` lie on, by the node folders of `folder`; 1 where nothing is said.
int count_memory_nodes(const CoreSet& cores, const std::string& folder = "/sys/devices/system/node");

}  // namespace terrace
