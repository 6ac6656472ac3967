// One rank's hands: applies a plan to its page tables, runs the model, reports what it did. Decides nothing (LAW 1). Step thread only.
#pragma once

#include <cstdint>
#include <vector>

#include "comm/group.h"
#include "kernels/backend.h"
#include "runtime/cache/page_store.h"
#include "runtime/cache/page_table.h"
#include "runtime/cache/pages_in_sight.h"
#include "runtime/model/decoder.h"
#include "runtime/step_plan.h"
#include "runtime/step_report.h"

namespace terrace {

class Worker {
 public:
  /// Frames that rows may name: of the device, and of the host where its pages are read in place (else 0); these follow the device's in number.
  struct Frames {
    int32_t device = 0;
    int32_t host = 0;
  };
  /// `decoder`, `backend`, `control` and `store` outlive the worker. `kv` is this rank's pool; `store` moves pages between it and the colder tiers,
  /// nullptr where there are none.
  Worker(Decoder& decoder, Backend& backend, Control& control, KvPool kv, Frames frames, int32_t num_slots, PageStore* store);

  /// Executes the plan with all other ranks. Returns every rank's report on rank 0, nothing elsewhere.
  std::vector<StepReport> execute(const StepPlan& plan);
  Backend& backend() { return backend_; }

 private:
  void apply(const StepPlan& plan);
  void check(const StepPlan& plan) const;
  void start_moves(const StepPlan& plan);
  void build_batch(const StepPlan& plan);
  int32_t num_sparse(const PlanRow& row) const;
  void push_frames(const StepPlan& plan, const PlanRow& row, int32_t group);
  int32_t num_groups() const { return static_cast<int32_t>(in_sight_.size()); }
  int32_t pages_of(const PlanRow& row) const { return (row.first_position + row.num_tokens + kv_.layout.page_tokens - 1) / kv_.layout.page_tokens; }
  void report_outputs(const StepPlan& plan, StepReport& report);
  void report_states(const StepPlan& plan, StepReport& report);
  void report_positions(std::span<const int32_t> rows, std::span<const int32_t> targets, std::span<const PlanRow* const> plan_rows,
                        StepReport& report);

  Decoder& decoder_;
  Backend& backend_;
  Control& control_;
  KvPool kv_;
  Frames num_frames_;
  PageStore* store_;
  std::vector<PagesInSight> in_sight_;  // by layer group
  PageTables tables_;
  std::vector<int32_t> sparse_from_;    // by slot, as it was opened

  // The step's batch, see StepBatch; kept to reuse the memory.
  std::vector<int32_t> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> kv_page_;
  std::vector<AttentionRun> runs_;
  std::vector<uint32_t> frames_;
};

}  // namespace terrace
