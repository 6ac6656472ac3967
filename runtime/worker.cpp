#include "runtime/worker.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "kernels/base/error.h"

namespace terrace {
namespace {

int64_t us_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

Worker::Worker(Decoder& decoder, Backend& backend, Control& control, KvPool kv, Frames frames, int32_t num_slots, PageStore* store)
    : decoder_(decoder),
      backend_(backend),
      control_(control),
      kv_(kv),
      num_frames_(frames),
      store_(store),
      tables_(num_slots, decoder.layer_groups().count()),
      sparse_from_(static_cast<size_t>(num_slots), kReadsAll) {
  for (const AttentionWindow& window : decoder.layer_groups().windows) in_sight_.emplace_back(window, kv.layout.page_tokens, 0);
}

std::vector<StepReport> Worker::execute(const StepPlan& plan) {
  const auto start = std::chrono::steady_clock::now();
  control_.set_step(plan.step);
  apply(plan);
  StepReport report;
  report.step = plan.step;
  report.digest = tables_.digest();
  if (report.digest != plan.digest) report.tables = tables_.describe();
  if (!plan.copies.empty()) backend_.copy_pages(kv_, plan.copies);
  start_moves(plan);
  if (!plan.rows.empty()) {
    build_batch(plan);
    decoder_.forward({tokens_, positions_, kv_page_, runs_, frames_, num_groups()}, kv_);
    report_outputs(plan, report);
    if (control_.rank() == 0) report_states(plan, report);
    decoder_.check_sums();
  }
  // A step of no rows is made only to see moves end.
  if (store_ != nullptr) report.moves = store_->poll(plan.rows.empty());
  report.reading = backend_.take_reading();
  report.all_reduce_us = decoder_.take_all_reduce_us();
  report.compute_us = us_since(start);

  std::vector<StepReport> reports;
  if (control_.size() == 1) {
    reports.push_back(std::move(report));
    return reports;
  }
  for (const Bytes& bytes : control_.gather(encode(report))) reports.push_back(decode_report(bytes));
  return reports;
}

void Worker::check(const StepPlan& plan) const {
  const auto check_frame = [&](PageRef page) {
    const int32_t count = page.tier == Tier::kDevice ? num_frames_.device : page.tier == Tier::kHost ? num_frames_.host : 0;
    if (page.frame < static_cast<uint32_t>(count)) return;
    throw Error(ErrorCode::kPlanMismatch, fmt::format("the plan of step {} names frame {} of tier {}, of which rows may use {} here", plan.step, page.frame,
                                                      static_cast<int>(page.tier), count));
  };
  for (const FrameUpdate& update : plan.frames) {
    if (update.page.frame != kNoFrame) check_frame(update.page);
  }
  for (const FrameCopy& copy : plan.copies) {
    check_frame({Tier::kDevice, copy.from});
    check_frame({Tier::kDevice, copy.to});
  }
}

void Worker::apply(const StepPlan& plan) {
  check(plan);
  for (const SlotUpdate& update : plan.slot_updates) {
    if (update.action == SlotAction::kOpen) {
      tables_.open(update.slot, update.sequence);
      sparse_from_[static_cast<size_t>(update.slot)] = update.sparse_from;
    } else {
      tables_.close(update.slot);
    }
  }
  for (const FrameUpdate& update : plan.frames) tables_.map(update.slot, update.group, update.index, update.page);
}

void Worker::start_moves(const StepPlan& plan) {
  if (plan.moves.empty()) return;
  if (store_ == nullptr) throw Error(ErrorCode::kPlanMismatch, fmt::format("the plan of step {} moves pages, but this rank has the device's tier only", plan.step));
  store_->start(plan.moves, plan.records);
}

void Worker::build_batch(const StepPlan& plan) {
  tokens_.clear();
  positions_.clear();
  kv_page_.clear();
  runs_.clear();
  frames_.clear();
  const int32_t page_tokens = kv_.layout.page_tokens;
  for (int32_t group = 0; group < num_groups(); ++group) {
    for (const PlanRow& row : plan.rows) push_frames(plan, row, group);
  }
  size_t next_token = 0;
  int32_t first_page = 0;
  for (const PlanRow& row : plan.rows) {
    runs_.push_back({static_cast<int32_t>(tokens_.size()), row.num_tokens, row.first_position, first_page, num_sparse(row)});
    for (int32_t i = 0; i < row.num_tokens; ++i) {
      const int32_t token = plan.tokens[next_token + static_cast<size_t>(i)];
      if (token < 0 || token >= decoder_.model().vocab_size) {
        throw Error(ErrorCode::kPlanMismatch, fmt::format("the plan of step {} holds token {} of a vocabulary of {}", plan.step, token,
                                                          decoder_.model().vocab_size));
      }
      tokens_.push_back(token);
      positions_.push_back(row.first_position + i);
      kv_page_.push_back(first_page + (row.first_position + i) / page_tokens);
    }
    next_token += static_cast<size_t>(row.num_tokens) + (row.output == RowOutput::kTokenLogprobs ? 1 : 0);
    first_page += pages_of(row);
  }
}

int32_t Worker::num_sparse(const PlanRow& row) const {
  if (!tables_.is_open(row.slot)) return 0;  // push_frames() refuses it
  const int32_t end = row.first_position + row.num_tokens;
  return end - std::clamp(sparse_from_[static_cast<size_t>(row.slot)], row.first_position, end);
}

// A group's page table of the slot, as far as the row needs it. Attention reads no page that is out of the row's sight, so it needs no frame (attention_planner.h).
void Worker::push_frames(const StepPlan& plan, const PlanRow& row, int32_t group) {
  const std::span<const PageRef> pages = tables_.is_open(row.slot) ? tables_.pages(row.slot, group) : std::span<const PageRef>();
  const auto needed = static_cast<size_t>(pages_of(row));
  if (pages.size() < needed) {
    throw Error(ErrorCode::kPlanMismatch, fmt::format("the plan of step {} computes positions up to {} of slot {}, which has no pages for them", plan.step,
                                                      row.first_position + row.num_tokens, row.slot));
  }
  const PagesInSight::Range unseen = in_sight_[static_cast<size_t>(group)].unseen_from(row.first_position);
  int32_t index = 0;
  for (const PageRef& page : pages.first(needed)) {
    if (page.frame == kNoFrame && !unseen.holds(index)) {
      throw Error(ErrorCode::kPlanMismatch, fmt::format("the plan of step {} computes position {} of slot {}, which sees page {} that has been let go",
                                                        plan.step, row.first_position, row.slot, index));
    }
    frames_.push_back(page.tier == Tier::kDevice ? page.frame : static_cast<uint32_t>(num_frames_.device) + page.frame);
    ++index;
  }
}

// Output positions in plan order, a few at a time: Decoder::kMaxOutputs bounds the memory of the logits.
void Worker::report_outputs(const StepPlan& plan, StepReport& report) {
  std::vector<int32_t> rows;             // indices in the batch
  std::vector<int32_t> targets;          // the token that follows, or -1
  std::vector<const PlanRow*> plan_rows;
  size_t next_token = 0;
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const PlanRow& row = plan.rows[r];
    const int32_t last = runs_[r].first_token + row.num_tokens - 1;
    for (int32_t i = row.num_outputs(); i-- > 0;) {
      rows.push_back(last - i);
      plan_rows.push_back(&row);
      const bool scored = row.output == RowOutput::kTokenLogprobs;
      targets.push_back(scored ? plan.tokens[next_token + static_cast<size_t>(row.num_tokens - i)] : -1);
    }
    next_token += static_cast<size_t>(row.num_tokens) + (row.output == RowOutput::kTokenLogprobs ? 1 : 0);
  }
  report.positions.reserve(rows.size());
  constexpr size_t kGroup = Decoder::kMaxOutputs;
  for (size_t begin = 0; begin < rows.size(); begin += kGroup) {
    const size_t count = std::min(kGroup, rows.size() - begin);
    report_positions(std::span(rows).subspan(begin, count), std::span(targets).subspan(begin, count),
                     std::span<const PlanRow* const>(plan_rows).subspan(begin, count), report);
  }
}

void Worker::report_states(const StepPlan& plan, StepReport& report) {
  const auto width = static_cast<size_t>(decoder_.model().hidden_size);
  for (size_t r = 0; r < plan.rows.size(); ++r) {
    const int32_t count = plan.rows[r].num_states();
    if (count == 0) continue;
    const size_t begin = report.hidden_states.size();
    report.hidden_states.resize(begin + static_cast<size_t>(count) * width);
    const int32_t end = runs_[r].first_token + plan.rows[r].num_tokens;
    backend_.download(decoder_.hidden_states(end - count, count), report.hidden_states.data() + begin);
  }
}

void Worker::report_positions(std::span<const int32_t> rows, std::span<const int32_t> targets, std::span<const PlanRow* const> plan_rows,
                              StepReport& report) {
  const MatrixView logits = decoder_.logits(rows);
  const Range vocab = decoder_.shard().vocab;
  int num_top = 1;
  for (const PlanRow* row : plan_rows) num_top = std::max<int>(num_top, row->num_top);
  std::vector<TopLogits> top(rows.size());
  backend_.select_top(logits, std::min<int>(num_top, vocab.size()), top);
  for (size_t i = 0; i < rows.size(); ++i) {
    PositionReport& position = report.positions.emplace_back();
    position.max = top[i].max;
    position.sum_exp = top[i].sum_exp;
    position.top = std::move(top[i].top);
    position.top.resize(std::min<size_t>(position.top.size(), plan_rows[i]->num_top));
    for (TokenLogit& candidate : position.top) candidate.token += vocab.begin;
    const MatrixView row = {logits.row(static_cast<int64_t>(i)), 1, logits.cols, logits.stride};
    if (targets[i] >= vocab.begin && targets[i] < vocab.end) {
      position.has_target = true;
      backend_.download(row.columns(targets[i] - vocab.begin, 1), &position.target_logit);
    }
    if (plan_rows[i]->output == RowOutput::kFullLogits) {
      position.full.resize(static_cast<size_t>(vocab.size()));
      backend_.download(row, position.full.data());
    }
  }
}

}  // namespace terrace
