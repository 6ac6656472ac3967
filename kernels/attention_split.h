// The absolute grid that cuts the keys of every query into pieces; see attention_planner.h.
#pragma once

#include <cstdint>

namespace terrace {

inline constexpr int32_t kAttentionSplit = 256;  // positions; a multiple of every page size

}  // namespace terrace
