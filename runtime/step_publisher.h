// What a step yields: samples the rows' tokens from the ranks' reports, commits them to the scheduler and makes the events that callers get. Rank 0's
// step thread; owns nothing.
#pragma once

#include <vector>

#include "runtime/engine.h"
#include "runtime/sampling/token_draw.h"
#include "runtime/step_plan.h"

namespace terrace {

class Backend;
class MaskMaker;
class Scheduler;

class StepPublisher {
 public:
  /// All outlive this. Counts generated tokens and the sources of ended sequences in `stats`.
  StepPublisher(Scheduler& scheduler, MaskMaker& masks, Backend& backend, EngineStats& stats)
      : scheduler_(scheduler), masks_(masks), backend_(backend), stats_(stats) {}

  /// Moves the logits out of the reports.
  void publish(const StepPlan& plan, std::vector<StepReport>& reports, std::vector<SequenceEvent>& events);

 private:
  std::vector<TokenDraw> draw_tokens(const StepPlan& plan, std::vector<StepReport>& reports);
  void commit_token(const PlanRow& row, const TokenDraw& draw, SequenceEvent& event);
  void publish_prompt_logprobs(const PlanRow& row, std::vector<StepReport>& reports, size_t first, std::vector<SequenceEvent>& events);
  void pool_states(const StepPlan& plan, const StepReport& report);

  Scheduler& scheduler_;
  MaskMaker& masks_;
  Backend& backend_;
  EngineStats& stats_;
};

}  // namespace terrace
