// How much host memory this process may still take: the machine's MemAvailable and the limits of its cgroups (v1 and v2). Any thread.
// A snapshot: other processes allocate meanwhile.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace terrace {

/// Bytes; page cache counts as available. Without any readable figure (no /proc) half the address space. `root` is put before
/// /proc and /sys, for tests.
size_t read_available_memory(const std::string& root = "");

/// "512 B", "1.5 GiB": for people.
std::string format_bytes(size_t bytes);

}  // namespace terrace
