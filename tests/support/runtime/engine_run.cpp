#include "tests/support/runtime/engine_run.h"

#include <gtest/gtest.h>

#include "comm/group.h"
#include "runtime/session.h"

namespace terrace {

Outputs run_engine(const Config& config, int ranks, const std::vector<Request>& requests, EngineStats* stats) {
  Outputs outputs;
  GroupOptions options;
  options.local_ranks = ranks;
  options.spin = false;
  const int code = run_ranks(options, [&](RankGroup& group) {
    Session session(config, group, {.announce = false, .load_progress = {}});
    if (group.rank != 0) {
      session.follow();
      return 0;
    }
    for (const Request& request : requests) session.engine().submit(request);
    while (session.engine().busy()) {
      for (SequenceEvent& event : session.engine().step()) outputs[event.id].push_back(std::move(event));
    }
    if (stats != nullptr) *stats = session.engine().stats();
    session.engine().stop();
    return 0;
  });
  EXPECT_EQ(code, 0);
  return outputs;
}

}  // namespace terrace
