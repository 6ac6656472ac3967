#include "tests/support/runtime/schedule_run.h"

#include <gtest/gtest.h>

#include <optional>

namespace terrace::testing {

Request count_up(int prompt, int max_tokens) {
  Request request;
  for (int i = 0; i < prompt; ++i) request.prompt.push_back(i);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  return request;
}

TokenSources run_to_end(Scheduler& scheduler, SequenceId id, const Request& request) {
  EXPECT_EQ(scheduler.submit(id, request), std::nullopt);
  TokenSources sources;
  for (int step = 0; scheduler.busy(); ++step) {
    if (step == 10'000) {
      ADD_FAILURE() << "no end of sequence " << id;
      break;
    }
    for (const PlanRow& row : scheduler.plan().rows) {
      sources = scheduler.sequence(row).sources;
      scheduler.commit(row, row.output == RowOutput::kNone ? std::nullopt : std::optional(7));
    }
  }
  return sources;
}

}  // namespace terrace::testing
