#include "launcher/cache_summary.h"

#include <fmt/format.h>

#include <algorithm>

namespace terrace {

std::string reading_summary(const ReadingStats& reading) {
  if (reading.pages_seen == 0) return "";
  const double share = static_cast<double>(reading.pages_read) / static_cast<double>(reading.pages_seen);
  const std::string bound = reading.left_out > 0 ? fmt::format(", the others proven to hold at most {:.2g} of any softmax", reading.left_out) : "";
  return fmt::format("sparse: {} of {} pages read ({:.1f} %){}", reading.pages_read, reading.pages_seen, 100 * share, bound);
}

std::string cache_summary(const EngineStats& stats) {
  const TokenSources& from = stats.sources;
  const TierStats& tiers = stats.tiers;
  const std::string sparse = reading_summary(stats.reading);
  return fmt::format("KV: {} tokens computed, {} found on the device, {} on the host, {} on disk; pages moved to device {}, host {}, disk {}; {} lost for room, "
                     "{} unreadable; {} preemptions; {:.0f} us of planning a step{}",
                     from.computed, from.device, from.host, from.disk, tiers.moved_in[0], tiers.moved_in[1], tiers.moved_in[2], tiers.lost[0] + tiers.lost[1] + tiers.lost[2],
                     tiers.failed[1] + tiers.failed[2], stats.preemptions,
                     static_cast<double>(stats.planning_us) / static_cast<double>(std::max<uint64_t>(stats.steps, 1)), sparse.empty() ? "" : "; " + sparse);
}

}  // namespace terrace
