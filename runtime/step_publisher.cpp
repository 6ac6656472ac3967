#include "runtime/step_publisher.h"

#include <algorithm>
#include <span>
#include <utility>

#include "kernels/backend.h"
#include "runtime/sampling/mask_maker.h"
#include "runtime/scheduler.h"

namespace terrace {
namespace {

bool samples(const PlanRow& row) { return row.output == RowOutput::kCandidates || row.output == RowOutput::kFullLogits; }

/// Every rank's view of an output position.
std::vector<PositionReport*> position_of(std::vector<StepReport>& reports, size_t index) {
  std::vector<PositionReport*> parts;
  for (StepReport& report : reports) parts.push_back(&report.positions.at(index));
  return parts;
}

}  // namespace

// The next token of every row that yields one, in the plan's order. A row is drawn from its logits and its own sequence alone, so all rows are drawn
// at once, by all threads: at a temperature that is a pass over the whole vocabulary.
std::vector<TokenDraw> StepPublisher::draw_tokens(const StepPlan& plan, std::vector<StepReport>& reports) {
  std::vector<TokenDraw> draws;
  bool costly = false;
  size_t next = 0;  // output position
  for (const PlanRow& row : plan.rows) {
    if (samples(row)) {
      const Sequence& sequence = scheduler_.sequence(row);
      draws.push_back({position_of(reports, next), &sequence.request, sequence.tokens, masks_.mask(sequence.id)});
      costly = costly || row.output == RowOutput::kFullLogits;
    }
    next += static_cast<size_t>(row.num_outputs());
  }
  const auto count = static_cast<int64_t>(draws.size());
  if (costly) {
    backend_.for_each(count, [&](int64_t i) { draws[static_cast<size_t>(i)].draw(); });
  } else {
    for (TokenDraw& draw : draws) draw.draw();
  }
  return draws;
}

void StepPublisher::publish(const StepPlan& plan, std::vector<StepReport>& reports, std::vector<SequenceEvent>& events) {
  pool_states(plan, reports.front());
  const std::vector<TokenDraw> draws = draw_tokens(plan, reports);
  size_t next = 0, next_draw = 0;
  for (const PlanRow& row : plan.rows) {
    if (row.output == RowOutput::kTokenLogprobs) publish_prompt_logprobs(row, reports, next, events);
    next += static_cast<size_t>(row.num_outputs());
    const Sequence& sequence = scheduler_.sequence(row);
    SequenceEvent event;
    event.id = sequence.id;
    event.sources = sequence.sources;
    if (samples(row)) {
      commit_token(row, draws[next_draw++], event);
    } else {
      if (row.num_states() > 0 && row.first_position + row.num_tokens == sequence.num_prompt()) event.pooled = sequence.states.mean();
      event.finish = scheduler_.commit(row, std::nullopt);
    }
    if (event.finish != FinishReason::kNone) stats_.sources += event.sources;
    if (event.token >= 0 || event.finish != FinishReason::kNone) events.push_back(std::move(event));
  }
}

void StepPublisher::pool_states(const StepPlan& plan, const StepReport& report) {
  size_t num_states = 0;
  for (const PlanRow& row : plan.rows) num_states += static_cast<size_t>(row.num_states());
  if (num_states == 0) return;
  const size_t width = report.hidden_states.size() / num_states;
  size_t begin = 0;
  for (const PlanRow& row : plan.rows) {
    const size_t size = static_cast<size_t>(row.num_states()) * width;
    if (size > 0) scheduler_.sequence(row).states.add(std::span(report.hidden_states).subspan(begin, size), width);
    begin += size;
  }
}

// A constrained sequence that no token can follow ends without one.
void StepPublisher::commit_token(const PlanRow& row, const TokenDraw& draw, SequenceEvent& event) {
  if (!draw.sampled) {
    const TokenMask& mask = *draw.mask;
    event.finish = mask.may_end ? FinishReason::kStop : FinishReason::kError;
    if (!mask.may_end) event.error = mask.problem.empty() ? "no token of the model's vocabulary can follow under the grammar of the request" : mask.problem;
    scheduler_.commit(row, std::nullopt);
    scheduler_.cancel(event.id);
    return;
  }
  event.token = draw.sampled->token;
  event.logprob = draw.sampled->logprob;
  event.top = draw.sampled->top;
  ++stats_.generated_tokens;
  event.finish = scheduler_.commit(row, event.token);
  if (draw.mask != nullptr && event.finish == FinishReason::kNone) masks_.advance(event.id, event.token);
}

void StepPublisher::publish_prompt_logprobs(const PlanRow& row, std::vector<StepReport>& reports, size_t first, std::vector<SequenceEvent>& events) {
  Sequence& sequence = scheduler_.sequence(row);
  for (int32_t i = 0; i < row.num_tokens; ++i) {
    const int32_t position = row.first_position + i;
    if (position < sequence.prompt_logprobs_sent) continue;
    const PositionLogits at = join_positions(position_of(reports, first + static_cast<size_t>(i)));
    SequenceEvent event;
    event.id = sequence.id;
    event.is_prompt = true;
    event.sources = sequence.sources;
    event.token = sequence.tokens[static_cast<size_t>(position) + 1];
    event.logprob = at.logprob(at.target_logit);
    event.top = top_logprobs(at, sequence.request.logprobs.value_or(0));
    events.push_back(std::move(event));
  }
  sequence.prompt_logprobs_sent = std::max(sequence.prompt_logprobs_sent, row.first_position + row.num_tokens);
}

}  // namespace terrace
