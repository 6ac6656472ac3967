#include "runtime/scheduler.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "runtime/sampling/sampler.h"

namespace terrace {

Scheduler::Scheduler(const Options& options)
    : options_(options), frames_(options.num_frames), tables_(options.max_sequences), by_slot_(static_cast<size_t>(options.max_sequences)) {}

int32_t Scheduler::max_sequence_tokens() const {
  // The last token's K and V are never needed, so a sequence may be one longer than its pages.
  const int64_t pool = int64_t{options_.num_frames} * options_.page_tokens + 1;
  return static_cast<int32_t>(std::min<int64_t>(options_.context_length, pool));
}

std::optional<std::string> Scheduler::submit(SequenceId id, Request request) {
  const auto prompt = static_cast<int64_t>(request.prompt.size());
  const int64_t longest = prompt + std::max(request.max_tokens, 0);
  if (prompt == 0) return "the prompt is empty: it must hold at least one token";
  if (longest > options_.context_length) {
    return fmt::format("the prompt's {} tokens and max_tokens {} exceed the model's context of {} tokens", prompt, request.max_tokens,
                       options_.context_length);
  }
  if (longest > max_sequence_tokens()) {
    return fmt::format("the prompt's {} tokens and max_tokens {} need {} KV pages, but the pool has {}: raise cache.device or lower max_tokens",
                       prompt, request.max_tokens, pages_for(static_cast<int32_t>(longest - 1)), options_.num_frames);
  }
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->tokens = request.prompt;
  sequence->request = std::move(request);
  waiting_.push_back(std::move(sequence));
  return std::nullopt;
}

bool Scheduler::cancel(SequenceId id) {
  const auto is_it = [id](const SequencePtr& s) { return s->id == id; };
  if (const auto it = std::ranges::find_if(waiting_, is_it); it != waiting_.end()) {
    waiting_.erase(it);
    return true;
  }
  const auto it = std::ranges::find_if(running_, is_it);
  if (it == running_.end()) return false;
  stop_running(**it);
  running_.erase(it);
  return true;
}

StepPlan Scheduler::plan() {
  StepPlan plan;
  plan.step = ++step_;
  int32_t budget = options_.max_tokens_per_step;
  const uint64_t preemptions_before = num_preemptions_;
  // Decodes before prompt chunks: a running answer never waits for somebody's long prompt. A preemption only ever takes from the back of
  // running_, behind the sequence being scheduled, so an index stays good.
  bool all_scheduled = true;
  for (const bool decodes : {true, false}) {
    for (size_t i = 0; i < running_.size() && budget > 0; ++i) {
      Sequence& sequence = *running_[i];
      if ((sequence.num_tokens() - sequence.num_computed == 1) != decodes) continue;
      all_scheduled &= try_schedule(sequence, plan, budget);
    }
  }
  if (all_scheduled && num_preemptions_ == preemptions_before) admit(plan, budget);
  plan.slot_updates = std::exchange(slot_updates_, {});
  plan.digest = tables_.digest();
  return plan;
}

bool Scheduler::try_schedule(Sequence& sequence, StepPlan& plan, int32_t& budget) {
  const int32_t count = chunk_size(sequence, budget);
  if (!reserve(sequence, sequence.num_computed + count, plan)) return false;
  add_row(sequence, count, plan);
  budget -= count;
  return true;
}

// Maps pages for the first `num_positions` positions. On shortage younger sequences that are not in this plan are preempted; where none is
// left the sequence waits. That cannot stall: the oldest sequence waits only while others of this plan get on, and it fits the pool alone.
bool Scheduler::reserve(Sequence& sequence, int32_t num_positions, StepPlan& plan) {
  const auto needed = static_cast<size_t>(pages_for(num_positions));
  while (sequence.frames.size() + static_cast<size_t>(frames_.num_free()) < needed) {
    if (!preempt_younger_than(sequence, plan)) return false;
  }
  while (sequence.frames.size() < needed) {
    const uint32_t frame = *frames_.allocate();
    sequence.frames.push_back(frame);
    const PageRef page = {Tier::kDevice, frame};
    tables_.append(sequence.slot, page);
    plan.frames.push_back({sequence.slot, page});
  }
  return true;
}

bool Scheduler::preempt_younger_than(const Sequence& sequence, const StepPlan& plan) {
  for (size_t i = running_.size(); i-- > 0 && running_[i]->id > sequence.id;) {
    const int32_t slot = running_[i]->slot;
    const bool in_plan = std::ranges::any_of(plan.rows, [slot](const PlanRow& row) { return row.slot == slot; });
    if (in_plan) continue;
    to_waiting(i);
    return true;
  }
  return false;
}

void Scheduler::admit(StepPlan& plan, int32_t& budget) {
  while (budget > 0 && !waiting_.empty() && num_running() < options_.max_sequences && has_room_for(*waiting_.front())) {
    SequencePtr sequence = std::move(waiting_.front());
    waiting_.pop_front();
    const auto free_slot = std::ranges::find(by_slot_, nullptr);
    sequence->slot = static_cast<int32_t>(free_slot - by_slot_.begin());
    *free_slot = sequence.get();
    tables_.open(sequence->slot, sequence->id);
    slot_updates_.push_back({sequence->id, sequence->slot, SlotAction::kOpen});
    const auto place = std::ranges::find_if(running_, [&](const SequencePtr& other) { return other->id > sequence->id; });
    Sequence& admitted = **running_.insert(place, std::move(sequence));
    try_schedule(admitted, plan, budget);
  }
}

// Room for all of its present tokens beside what running prompts still have to compute, and a page of growth for each running sequence:
// who is admitted is not preempted in the next breath.
bool Scheduler::has_room_for(const Sequence& sequence) const {
  int64_t needed = pages_for(sequence.num_tokens());
  for (const SequencePtr& other : running_) {
    needed += std::max<int64_t>(pages_for(other->num_tokens()) - static_cast<int64_t>(other->frames.size()), 0);
  }
  const int64_t growth = num_running();
  return running_.empty() || needed + growth <= frames_.num_free();
}

int32_t Scheduler::chunk_size(const Sequence& sequence, int32_t budget) const {
  int32_t count = sequence.num_tokens() - sequence.num_computed;
  const int32_t scored = sequence.num_prompt() - 1;  // positions whose next token is known: their rows return log-probabilities
  if (sequence.request.prompt_logprobs && sequence.num_computed < scored) count = std::min(count, scored - sequence.num_computed);
  return std::min(count, budget);
}

void Scheduler::add_row(const Sequence& sequence, int32_t num_tokens, StepPlan& plan) const {
  PlanRow row;
  row.slot = sequence.slot;
  row.first_position = sequence.num_computed;
  row.num_tokens = num_tokens;
  const int32_t end = row.first_position + num_tokens;
  int32_t tokens_sent = num_tokens;
  if (sequence.request.prompt_logprobs && end < sequence.num_prompt()) {
    row.output = RowOutput::kTokenLogprobs;
    row.num_top = static_cast<uint8_t>(std::max(sequence.request.logprobs.value_or(0), 1));
    ++tokens_sent;
  } else if (end == sequence.num_tokens()) {
    row.output = needs_full_logits(sequence.request) ? RowOutput::kFullLogits : RowOutput::kCandidates;
    row.num_top = kNumCandidates;
  }
  const auto first = sequence.tokens.begin() + row.first_position;
  plan.tokens.insert(plan.tokens.end(), first, first + tokens_sent);
  plan.rows.push_back(row);
}

Sequence& Scheduler::sequence(const PlanRow& row) { return *by_slot_.at(static_cast<size_t>(row.slot)); }

FinishReason Scheduler::commit(const PlanRow& row, std::optional<int32_t> token) {
  Sequence& sequence = this->sequence(row);
  const Request& request = sequence.request;
  sequence.num_computed = row.first_position + row.num_tokens;
  FinishReason finish = FinishReason::kNone;
  if (token) {
    sequence.tokens.push_back(*token);
    if (!options_.cache_enabled) sequence.num_computed = 0;
    const bool may_stop = sequence.num_output() > request.min_tokens;
    if (may_stop && std::ranges::find(request.stop_tokens, *token) != request.stop_tokens.end()) {
      finish = FinishReason::kStop;
    } else if (sequence.num_output() >= request.max_tokens) {
      finish = FinishReason::kLength;
    }
  } else if (request.max_tokens == 0 && sequence.num_computed >= sequence.num_prompt() - 1) {
    finish = FinishReason::kLength;
  }
  if (finish != FinishReason::kNone) cancel(sequence.id);
  return finish;
}

int64_t Scheduler::tokens_in_frames() const {
  int64_t tokens = 0;
  for (const SequencePtr& sequence : running_) {
    tokens += std::min<int64_t>(sequence->num_tokens(), static_cast<int64_t>(sequence->frames.size()) * options_.page_tokens);
  }
  return tokens;
}

void Scheduler::stop_running(Sequence& sequence) {
  for (const uint32_t frame : sequence.frames) frames_.release(frame);
  sequence.frames.clear();
  tables_.close(sequence.slot);
  slot_updates_.push_back({sequence.id, sequence.slot, SlotAction::kClose});
  by_slot_[static_cast<size_t>(sequence.slot)] = nullptr;
  sequence.slot = -1;
  sequence.num_computed = 0;
}

void Scheduler::to_waiting(size_t running_index) {
  SequencePtr sequence = std::move(running_[running_index]);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(running_index));
  stop_running(*sequence);
  const auto place = std::ranges::find_if(waiting_, [&](const SequencePtr& other) { return other->id > sequence->id; });
  waiting_.insert(place, std::move(sequence));
  ++num_preemptions_;
}

}  // namespace terrace
