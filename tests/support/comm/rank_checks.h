// Checks that every rank of a group runs, for ranks that are threads (tests/comm) and processes (tests/e2e/comm_mpi_driver).
// A wrong byte throws Error(kInternal), which ends the job with exit code 1.
#pragma once

#include <vector>

#include "comm/group.h"

namespace terrace {

/// Broadcasts, gathers and barriers with messages from 0 bytes to a few MiB.
void check_messages(RankGroup& group);
/// Sums of many lengths, in buffer() and elsewhere, against the bits of the sum in rank order.
void check_sums(RankGroup& group);
/// Short sums without a pause, each depending on the last.
void check_sums_in_a_row(RankGroup& group, int rounds);

enum class WaitKind { kBroadcast, kShortSum, kLongSum, kBarrier };
inline constexpr WaitKind kWaitKinds[] = {WaitKind::kBroadcast, WaitKind::kShortSum, WaitKind::kLongSum, WaitKind::kBarrier};
/// Waits for the others without end.
void wait_for_others(RankGroup& group, WaitKind kind);

}  // namespace terrace
