// What every rank does in one step, decided by rank 0 (LAW 1). Diffs only: a rank knows the page tables from the plans before. Encoded as one
// compact message also when there is a single rank, so that a recorded series of plans replays any run.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/control.h"
#include "kernels/backend.h"
#include "runtime/cache/page.h"
#include "runtime/cache/page_record.h"
#include "runtime/request.h"

namespace terrace {

inline constexpr uint32_t kPlanMagic = 0x4e4c5054;  // "TPLN"
inline constexpr uint16_t kPlanVersion = 5;
inline constexpr int32_t kMostRowTokens = 65535;  // as the wire has room for

enum class StepKind : uint16_t { kRun = 0, kStop = 1 };

/// What a rank returns of a row's positions.
enum class RowOutput : uint8_t {
  kNone = 0,
  kCandidates = 1,   // last position: log-sum-exp parts and the largest logits
  kFullLogits = 2,   // last position: the same and the rank's whole slice of the logits
  kTokenLogprobs = 3,  // every position: as kCandidates, and the logit of the token that follows
  kHiddenStates = 4,   // every position: the hidden state after the final norm, which is the same on every rank; rank 0 alone returns it
  kLastHiddenState = 5,  // last position: likewise
};

/// SlotUpdate::sparse_from of a sequence whose tokens all read all.
inline constexpr int32_t kReadsAll = INT32_MAX;

enum class SlotAction : uint8_t { kOpen = 0, kClose = 1 };

struct SlotUpdate {
  SequenceId sequence = 0;
  int32_t slot = 0;
  SlotAction action = SlotAction::kOpen;
  int32_t sparse_from = kReadsAll;  // position from which its tokens read sparsely, whatever row they are in (LAW 4); of kOpen
};

/// A page of a slot's table of one layer group: the next one, or one that lies elsewhere from now on; in no frame (kNoFrame) when it has fallen out of the
/// group's window.
struct FrameUpdate {
  int32_t slot = 0;
  int32_t group = 0;
  int32_t index = 0;
  PageRef page;
};

/// A run of positions of one slot; its tokens are the next num_tokens of StepPlan::tokens. With kTokenLogprobs they are followed by one more,
/// the token after the run.
struct PlanRow {
  int32_t slot = 0;
  int32_t first_position = 0;
  int32_t num_tokens = 0;
  RowOutput output = RowOutput::kNone;
  uint8_t num_top = 0;  // candidates wanted, for an output

  /// Positions whose hidden state is returned.
  int32_t num_states() const { return output == RowOutput::kHiddenStates ? num_tokens : output == RowOutput::kLastHiddenState ? 1 : 0; }
  /// Positions whose logits are.
  int32_t num_outputs() const {
    if (output == RowOutput::kNone || num_states() > 0) return 0;
    return output == RowOutput::kTokenLogprobs ? num_tokens : 1;
  }
};

struct StepPlan {
  uint64_t step = 0;
  StepKind kind = StepKind::kRun;
  uint64_t digest = 0;  // of the page tables after slot_updates and frames
  std::vector<SlotUpdate> slot_updates;  // applied in order, before frames
  std::vector<FrameUpdate> frames;
  std::vector<FrameCopy> copies;     // of device frames, in order, before all else
  std::vector<PageMove> moves;       // started before the step's rows and not waited for
  std::vector<PageRecord> records;   // one for each move to disk, in order
  std::vector<PlanRow> rows;
  std::vector<int32_t> tokens;
};

Bytes encode(const StepPlan& plan);
/// Error(kPlanMismatch) for bytes that are not a whole plan of this version.
StepPlan decode_plan(std::span<const std::byte> bytes);

}  // namespace terrace
