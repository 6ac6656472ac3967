// How a page move ended on one rank. Values only.
#pragma once

#include <cstdint>

namespace terrace {

enum class MoveOutcome : uint8_t { kDone = 0, kChecksum = 1, kIo = 2 };  // kChecksum: the source does not hold the page that the move names

struct MoveResult {
  uint32_t id = 0;
  MoveOutcome outcome = MoveOutcome::kDone;
  int64_t us = 0;       // from start() to its end, as whoever moved it saw it
  int64_t busy_us = 0;  // of these, those in which its link had finished the moves before it
  uint32_t bytes = 0;   // that were to be moved
};

}  // namespace terrace
