#include "runtime/available_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>

namespace terrace {
namespace {

constexpr size_t kUnlimited = std::numeric_limits<size_t>::max() / 2;

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The number at the start of `text`, spaces skipped; nullopt for "max" and the like.
std::optional<size_t> parse_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end != text.data() ? std::optional(value) : std::nullopt;
}

/// The number after `key` at the start of a line.
std::optional<size_t> find_number(std::string_view text, std::string_view key) {
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    if (line.starts_with(key)) return parse_number(line.substr(key.size()));
    text.remove_prefix(std::min(line.size() + 1, text.size()));
  }
  return std::nullopt;
}

/// The names that the two versions of cgroups give the same things.
struct CgroupFiles {
  std::string_view mount;
  std::string_view limit;
  std::string_view usage;
  std::array<std::string_view, 2> page_cache;  // keys of memory.stat: what the kernel takes back under pressure
};

constexpr CgroupFiles kVersion1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", {"total_inactive_file ", "total_active_file "}};
constexpr CgroupFiles kVersion2 = {"/sys/fs/cgroup", "memory.max", "memory.current", {"inactive_file ", "active_file "}};

size_t room_in_cgroup(const std::string& folder, const CgroupFiles& files) {
  const auto read = [&](std::string_view name) { return read_text(fmt::format("{}/{}", folder, name)); };
  const std::optional<size_t> limit = parse_number(read(files.limit));
  if (!limit || *limit >= kUnlimited) return kUnlimited;
  size_t used = parse_number(read(files.usage)).value_or(0);
  const std::string stat = read("memory.stat");
  for (const std::string_view key : files.page_cache) used -= std::min(used, find_number(stat, key).value_or(0));
  return *limit - std::min(*limit, used);
}

/// A limit may stand at any level above the process's own cgroup; inside a container the path may name folders that are not mounted.
size_t room_in_hierarchy(const std::string& root, std::string path, const CgroupFiles& files) {
  size_t room = kUnlimited;
  for (;;) {
    room = std::min(room, room_in_cgroup(root + std::string(files.mount) + path, files));
    if (path.empty()) return room;
    path.resize(std::min(path.rfind('/'), path.size() - 1));
  }
}

/// The process's cgroup path for a line of /proc/self/cgroup like "4:memory:/jobs/7" or "0::/jobs/7".
std::optional<std::string> find_cgroup(std::string_view text, std::string_view controller) {
  std::istringstream lines{std::string(text)};
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string names = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (names.find(fmt::format(",{},", controller)) != std::string::npos) return line.substr(second + 1);
  }
  return std::nullopt;
}

}  // namespace

size_t read_available_memory(const std::string& root) {
  size_t room = kUnlimited;
  const std::optional<size_t> machine = find_number(read_text(root + "/proc/meminfo"), "MemAvailable:");
  if (machine) room = *machine * 1024;
  const std::string cgroups = read_text(root + "/proc/self/cgroup");
  if (const std::optional<std::string> path = find_cgroup(cgroups, "memory")) room = std::min(room, room_in_hierarchy(root, *path, kVersion1));
  if (const std::optional<std::string> path = find_cgroup(cgroups, "")) room = std::min(room, room_in_hierarchy(root, *path, kVersion2));
  return room;
}

std::string format_bytes(size_t bytes) {
  constexpr std::array kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  auto value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; value >= 1024 && unit + 1 < kUnits.size(); ++unit) value /= 1024;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.{}f} {}", value, value < 100 ? 1 : 0, kUnits[unit]);
}

}  // namespace terrace
