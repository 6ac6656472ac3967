#include "runtime/scheduler.h"

#include <algorithm>
#include <utility>

#include "runtime/cache/page_key.h"
#include "runtime/sampling/sampler.h"

namespace terrace {

namespace {

// Waiting sequences whose cached pages are brought near ahead of their turn.
constexpr size_t kLookAhead = 16;

TierManager::Options tier_options(const Scheduler::Options& options) {
  TierManager::Options tiers;
  tiers.page_tokens = options.page_tokens;
  tiers.num_frames = {options.num_frames, options.num_host_frames, options.num_disk_frames};
  // What one step may ask for, so that its pages have been written out when the next one asks again.
  const int32_t step_pages = (options.max_tokens_per_step / options.page_tokens + options.max_sequences) * static_cast<int32_t>(options.windows.size());
  tiers.spare_frames = std::min(step_pages, options.num_frames / 4);
  tiers.keep_pages = options.cache_enabled && options.keep_prefixes;
  tiers.in_place = options.in_place;
  tiers.write_through = options.num_host_frames > 0 && (options.in_place || options.num_host_frames >= options.num_frames);
  tiers.num_ranks = options.num_ranks;
  tiers.policy = options.policy;
  return tiers;
}

SequenceLimits::Pool sequence_pool(const Scheduler::Options& options) {
  return {options.context_length, options.page_tokens, options.num_frames, options.num_host_frames, options.in_place};
}

std::vector<PagesInSight> pages_in_sight(const Scheduler::Options& options) {
  std::vector<PagesInSight> groups;
  for (const AttentionWindow& window : options.windows) groups.emplace_back(window, options.page_tokens, options.max_tokens_per_step);
  return groups;
}

}  // namespace

Scheduler::Scheduler(const Options& options)
    : options_(options),
      in_sight_(pages_in_sight(options)),
      limits_(sequence_pool(options), in_sight_),
      tiers_(tier_options(options)),
      pages_(tiers_, in_sight_, options.page_tokens, options.max_sequences),
      prefix_hold_(tiers_, in_sight_, options.page_tokens, options.fetch),
      by_slot_(static_cast<size_t>(options.max_sequences)) {}

std::optional<std::string> Scheduler::submit(SequenceId id, Request request) {
  if (std::optional<std::string> refusal = limits_.refusal(request)) return refusal;
  const auto prompt = static_cast<int32_t>(request.prompt.size());
  auto sequence = std::make_unique<Sequence>();
  sequence->id = id;
  sequence->tokens = request.prompt;
  sequence->root = root_key(options_.origin, request.cache_salt);
  sequence->groups.resize(in_sight_.size());
  if (options_.sparse) sequence->sparse_from = options_.sparse_prompts_from > 0 ? std::min(prompt, options_.sparse_prompts_from) : prompt;
  sequence->request = std::move(request);
  waiting_.push_back(std::move(sequence));
  return std::nullopt;
}

std::optional<TokenSources> Scheduler::cancel(SequenceId id) {
  const auto id_of = [](const SequencePtr& sequence) { return sequence->id; };
  if (const auto it = std::ranges::lower_bound(waiting_, id, {}, id_of); it != waiting_.end() && (*it)->id == id) {
    prefix_hold_.let_go(**it);
    const TokenSources sources = (*it)->sources;
    waiting_.erase(it);
    return sources;
  }
  const auto it = std::ranges::lower_bound(running_, id, {}, id_of);
  if (it == running_.end() || (*it)->id != id) return std::nullopt;
  pages_.ended(**it);
  stop_running(**it);
  const TokenSources sources = (*it)->sources;
  running_.erase(it);
  return sources;
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
  if (all_scheduled && num_preemptions_ == preemptions_before) {
    admit(plan, budget);
    if (plan.rows.empty() && running_.empty() && !waiting_.empty() && !tiers_.moving()) unblock(plan, budget);
  }
  MovePlan moves = tiers_.plan_moves(static_cast<int64_t>(step_));
  plan.moves = std::move(moves.moves);
  plan.records = std::move(moves.records);
  pages_.put_updates(plan);
  return plan;
}

bool Scheduler::try_schedule(Sequence& sequence, StepPlan& plan, int32_t& budget) {
  pages_.publish(sequence);  // those that could not be while they moved
  const int32_t count = chunk_size(sequence, budget);
  if (!reserve(sequence, sequence.num_computed + count, plan)) return false;
  add_row(sequence, count, plan);
  sequence.sources.computed += count;
  budget -= count;
  return true;
}

// Maps pages for the first `num_positions` positions. Where no frames can be had the sequence waits. That cannot stall: the oldest sequence waits only
// while others of this plan get on or pages move, and it fits the pool alone.
bool Scheduler::reserve(Sequence& sequence, int32_t num_positions, StepPlan& plan) {
  const int32_t num_pages = pages_for(num_positions);
  while (const int64_t needed = pages_.num_missing(sequence, num_pages)) {
    const int64_t missing = needed - tiers_.num_available();
    if (missing <= 0) {
      if (pages_.add_page(sequence, num_pages)) continue;
      if (!options_.in_place) return false;  // those that are idle lie before others that move
    }
    const TierManager::Readiness moved = move_out_of_the_way(static_cast<size_t>(std::max<int64_t>(missing, 1)));
    if (moved == TierManager::Readiness::kReady) continue;
    if (moved == TierManager::Readiness::kComing || !make_room(sequence, plan)) return false;
  }
  return true;
}

// Lets running sequences read some of their pages on the host, so that the device's copies may go. kReady: one or more do; kComing: soon.
TierManager::Readiness Scheduler::move_out_of_the_way(size_t num_pages) {
  using Readiness = TierManager::Readiness;
  if (!options_.in_place) return Readiness::kNever;
  Readiness best = Readiness::kNever;
  for (const SequencePtr& sequence : running_) {
    const Readiness readiness = pages_.move_to_host(*sequence, num_pages);
    if (readiness == Readiness::kReady) return readiness;
    if (readiness == Readiness::kComing) best = readiness;
  }
  return best;
}

bool Scheduler::make_room(const Sequence& sequence, const StepPlan& plan) {
  // Who holds pages was among the first kLookAhead once, and only what ran then can have come before it since.
  const size_t num_holding = kLookAhead + static_cast<size_t>(options_.max_sequences);
  for (size_t i = std::min(waiting_.size(), num_holding); i-- > 0;) {
    if (waiting_[i]->prefix_pages() == 0) continue;
    prefix_hold_.let_go(*waiting_[i]);
    return true;
  }
  return preempt_younger_than(sequence, plan);
}

// Of the younger sequences that are not in this plan, the one that loses least.
bool Scheduler::preempt_younger_than(const Sequence& sequence, const StepPlan& plan) {
  std::optional<size_t> victim;
  for (size_t i = running_.size(); i-- > 0 && running_[i]->id > sequence.id;) {
    if (running_[i]->planned_step == plan.step || running_[i]->groups.front().pages.empty()) continue;
    if (!victim || lost_tokens(*running_[i]) < lost_tokens(*running_[*victim])) victim = i;
  }
  if (!victim) return false;
  to_waiting(*victim);
  return true;
}

// With a colder tier full pages survive a preemption and are fetched again; without one they are taken for the sequence in need.
int32_t Scheduler::lost_tokens(const Sequence& sequence) const {
  const bool pages_survive = tiers_.keeps_pages() && options_.num_host_frames > 0;
  return pages_survive ? sequence.num_computed - sequence.num_published() * options_.page_tokens : sequence.num_computed;
}

// In order of arrival; the first has the whole pool where nothing runs. A sequence whose cached pages are still on their way, or whose next page a running one is computing just now, is passed by: both end soon, and who fetches keeps its room.
void Scheduler::admit(StepPlan& plan, int32_t& budget) {
  int64_t kept = 0;  // frames for those that are passed by
  for (size_t i = 0; i < waiting_.size() && i < kLookAhead;) {
    Sequence& sequence = *waiting_[i];
    prefix_hold_.take(sequence);
    if (!(running_.empty() && i == 0) && !find_room_for(sequence, kept)) {
      for (size_t k = i; k < waiting_.size(); ++k) prefix_hold_.let_go(*waiting_[k]);
      return;
    }
    const bool near = prefix_hold_.bring_near(sequence);
    if (budget <= 0 || num_running() == options_.max_sequences) {
      if (near && sequence.prefix_pages() == 0) return;
      ++i;
    } else if (!near || is_computing_for(sequence)) {
      if (!near) kept += frames_to_come(sequence);
      ++i;
    } else {
      SequencePtr admitted = std::move(waiting_[i]);
      waiting_.erase(waiting_.begin() + static_cast<std::ptrdiff_t>(i));
      start(std::move(admitted), plan, budget);
    }
  }
}

// Nothing runs and nothing moves: waiting sequences hold all frames between them, or the first has more pages than there are frames to bring near.
void Scheduler::unblock(StepPlan& plan, int32_t& budget) {
  for (size_t i = 1; i < waiting_.size(); ++i) prefix_hold_.let_go(*waiting_[i]);
  prefix_hold_.bring_near(*waiting_.front());
  if (tiers_.moving()) return;
  prefix_hold_.keep_near(*waiting_.front());
  admit(plan, budget);
}

void Scheduler::start(SequencePtr sequence, StepPlan& plan, int32_t& budget) {
  const auto free_slot = std::ranges::find(by_slot_, nullptr);
  sequence->slot = static_cast<int32_t>(free_slot - by_slot_.begin());
  *free_slot = sequence.get();
  pages_.open(*sequence);
  const auto place = std::ranges::find_if(running_, [&](const SequencePtr& other) { return other->id > sequence->id; });
  Sequence& admitted = **running_.insert(place, std::move(sequence));
  pages_.adopt_prefix(admitted);
  pages_.copy_partial_page(admitted, plan);
  pages_.let_unseen_go(admitted);  // the copied tokens moved it on; its pages are counted as of where its chunk begins
  try_schedule(admitted, plan, budget);
}

// That a waiting sequence needs beside those that its pages have already.
int64_t Scheduler::frames_to_come(const Sequence& sequence) const { return pages_.num_to_come(sequence) - prefix_hold_.num_with_frame(sequence); }

// Room for all of its present tokens beside what running prompts still have to compute, and a page of growth for each running sequence:
// who is admitted is not preempted in the next breath.
bool Scheduler::has_room_for(const Sequence& sequence, int64_t kept) const {
  int64_t needed = kept + frames_to_come(sequence);
  for (const SequencePtr& other : running_) needed += pages_.num_to_come(*other);
  const int64_t growth = int64_t{num_running()} * num_groups();
  return needed + growth <= tiers_.num_available();
}

bool Scheduler::find_room_for(const Sequence& sequence, int64_t kept) {
  while (!has_room_for(sequence, kept)) {
    if (move_out_of_the_way(static_cast<size_t>(pages_for(sequence.num_tokens()))) != TierManager::Readiness::kReady) return false;
  }
  return true;
}

// The first page that it would have to compute is about to be computed by a running sequence: better to wait for it than to do it twice.
bool Scheduler::is_computing_for(const Sequence& waiting) const {
  const size_t next = waiting.prefix_pages();
  if (!tiers_.keeps_pages() || waiting.needs_every_position() || next >= waiting.keys.size()) return false;
  return std::ranges::any_of(running_, [&](const SequencePtr& other) {
    return other->num_computed < other->num_prompt() && static_cast<size_t>(other->num_published()) <= next && next < other->keys.size() &&
           other->keys[next] == waiting.keys[next];
  });
}

void Scheduler::observe_prefill(int32_t prompt_tokens, int64_t us) {
  constexpr double kWeightOfNew = 0.25;
  const double measured = static_cast<double>(us) / prompt_tokens;
  us_per_token_ = us_per_token_ ? *us_per_token_ + kWeightOfNew * (measured - *us_per_token_) : measured;
  prefix_hold_.set_us_per_token(*us_per_token_);
}

int32_t Scheduler::chunk_size(const Sequence& sequence, int32_t budget) const {
  int32_t count = sequence.num_tokens() - sequence.num_computed;
  const int32_t scored = sequence.num_prompt() - 1;  // positions whose next token is known: their rows return log-probabilities
  if (sequence.request.prompt_logprobs && sequence.num_computed < scored) count = std::min(count, scored - sequence.num_computed);
  // Where a sequence may be longer than the device's pool, a chunk is not: its pages move out of the way of the next one's.
  if (options_.in_place) count = std::min(count, std::max(options_.num_frames / 2 / num_groups(), 1) * options_.page_tokens);
  return std::min({count, budget, kMostRowTokens});
}

void Scheduler::add_row(Sequence& sequence, int32_t num_tokens, StepPlan& plan) const {
  sequence.planned_step = plan.step;
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
  } else if (sequence.request.pooling == Pooling::kMean) {
    row.output = RowOutput::kHiddenStates;
  } else if (sequence.request.pooling) {
    row.output = end == sequence.num_tokens() ? RowOutput::kLastHiddenState : RowOutput::kNone;
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
  pages_.publish(sequence);
  pages_.let_unseen_go(sequence);
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
  } else if (request.pooling) {
    if (sequence.num_computed == sequence.num_prompt()) finish = FinishReason::kStop;
  } else if (request.max_tokens == 0 && sequence.num_computed >= sequence.num_prompt() - 1) {
    finish = FinishReason::kLength;
  }
  if (finish != FinishReason::kNone) cancel(sequence.id);
  return finish;
}

int64_t Scheduler::tokens_in_frames() const {
  int64_t slots = int64_t{frames_in_use()} * options_.page_tokens;
  for (const SequencePtr& sequence : running_) {
    for (const SequenceGroup& group : sequence->groups) {
      const int64_t mapped = static_cast<int64_t>(group.pages.size()) * options_.page_tokens;
      slots -= std::max<int64_t>(mapped - sequence->num_tokens(), 0);  // only its own last page
    }
  }
  return slots;
}

void Scheduler::stop_running(Sequence& sequence) {
  pages_.close(sequence);
  by_slot_[static_cast<size_t>(sequence.slot)] = nullptr;
  sequence.slot = -1;
  sequence.num_computed = 0;
  sequence.states.clear();
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
