// The time-line: JSON that is whole after every step, and what stands in it.
#include "runtime/trace_writer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <boost/json.hpp>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/base/error.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

namespace json = boost::json;

class TraceWriterTest : public ::testing::Test {
 protected:
  ~TraceWriterTest() override { std::filesystem::remove(path_); }

  json::array events() {
    std::stringstream text;
    text << std::ifstream(path_).rdbuf();
    return json::parse(text.str()).as_array();
  }
  /// Those of a name.
  std::vector<json::object> named(std::string_view name) {
    std::vector<json::object> found;
    for (const json::value& event : events()) {
      if (event.at("name").as_string() == name) found.push_back(event.as_object());
    }
    return found;
  }
  static int64_t number(const json::object& event, std::string_view field) { return event.at(field).as_int64(); }
  static int64_t arg(const json::object& event, std::string_view field) { return event.at("args").at(field).as_int64(); }

  const std::string path_ = ::testing::TempDir() + "/trace_writer_test." + std::to_string(::getpid()) + ".json";
};

StepPlan decode_step(uint64_t step) {
  StepPlan plan;
  plan.step = step;
  plan.rows.push_back({.slot = 0, .first_position = 5, .num_tokens = 1});
  plan.tokens = {17};
  return plan;
}

Request request_of(std::vector<int32_t> prompt) {
  Request request;
  request.prompt = std::move(prompt);
  return request;
}

StepReport report_of(int64_t compute_us, int64_t all_reduce_us) {
  StepReport report;
  report.compute_us = compute_us;
  report.all_reduce_us = all_reduce_us;
  return report;
}

TEST_F(TraceWriterTest, TheFileIsWholeAfterEveryStep) {
  TraceWriter trace(path_, 2, 1000);
  const size_t num_names = events().size();
  EXPECT_EQ(num_names, 2u * 2 + 2 * 6 + 2);
  const std::vector<StepReport> reports = {report_of(80, 0), report_of(70, 9)};
  trace.step(decode_step(1), reports, {1100, 1110, 1115, 1200, 1230}, {.running = 1});
  const std::vector<json::object> steps = named("decode");
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(number(steps[1], "pid"), 1);
  EXPECT_EQ(number(steps[1], "ts"), 115);
  EXPECT_EQ(number(steps[1], "dur"), 70);
  EXPECT_EQ(arg(steps[1], "all-reduce us"), 9);
  EXPECT_EQ(arg(steps[0], "step"), 1);
  EXPECT_EQ(number(named("plan").at(0), "dur"), 10);
  EXPECT_EQ(number(named("gather").at(0), "dur"), 5);
  EXPECT_EQ(number(named("sample and commit").at(0), "dur"), 30);
  EXPECT_EQ(arg(named("sequences").at(0), "running"), 1);
  trace.step(decode_step(2), reports, {1300, 1310, 1315, 1400, 1430}, {});
  EXPECT_EQ(named("decode").size(), 4u);
}

TEST_F(TraceWriterTest, MovesStandOnTheTrackOfTheirLinkWhereTheirRankSaysTheyEnded) {
  TraceWriter trace(path_, 2, 0);
  StepPlan plan = decode_step(1);
  plan.moves = {{1, {Tier::kDevice, 3}, {Tier::kHost, 4}, {0xAB, 1}}, {2, {Tier::kDevice, 5}, {Tier::kHost, 6}, {0xCD, 1}}};
  trace.step(plan, std::vector<StepReport>(2), {10, 20, 100, 200, 210}, {});
  EXPECT_TRUE(named("page").empty());  // under way
  std::vector<StepReport> reports(2);
  reports[0].moves = {{1, MoveOutcome::kDone, 150, 150, 4096}, {2, MoveOutcome::kIo, 250, 100, 4096}};
  reports[1].moves = {{1, MoveOutcome::kDone, 40, 40, 4096}};
  trace.step(decode_step(2), reports, {310, 320, 400, 500, 510}, {});
  const std::vector<json::object> pages = named("page");
  ASSERT_EQ(pages.size(), 3u);
  EXPECT_EQ(number(pages[0], "ts"), 100);
  EXPECT_EQ(number(pages[0], "dur"), 150);
  EXPECT_EQ(pages[0].at("args").at("page").as_string(), "00000000000000ab");
  EXPECT_EQ(number(pages[1], "ts"), 250);
  EXPECT_EQ(number(pages[1], "dur"), 100);
  EXPECT_EQ(number(pages[1], "tid"), 1);
  EXPECT_EQ(pages[1].at("args").at("outcome").as_string(), "io");
  EXPECT_EQ(arg(pages[1], "waited us"), 150);
  EXPECT_EQ(number(pages[2], "pid"), 1);
}

TEST_F(TraceWriterTest, ARequestWaitsStartsSpeaksAndEnds) {
  TraceWriter trace(path_, 1, 0);
  trace.arrived(7, request_of({1, 2, 3}), 50);
  trace.arrived(8, request_of({1}), 60);
  StepPlan plan = decode_step(1);
  plan.slot_updates = {{.sequence = 7, .slot = 0, .action = SlotAction::kOpen}};
  trace.step(plan, std::vector<StepReport>(1), {90, 100, 110, 200, 210}, {});
  SequenceEvent event;
  event.id = 7;
  event.token = 5;
  event.sources = {.computed = 3, .device = 16};
  trace.event(event, 210);
  event.finish = FinishReason::kStop;
  trace.event(event, 300);
  event = {};
  event.id = 8;
  event.finish = FinishReason::kCancelled;
  trace.event(event, 310);
  trace.flush();
  const std::vector<json::object> waits = named("waiting");
  ASSERT_EQ(waits.size(), 4u);
  EXPECT_EQ(number(waits[2], "ts"), 100);
  EXPECT_EQ(number(waits[3], "ts"), 310);
  EXPECT_EQ(number(named("first token").at(0), "ts"), 210);
  const std::vector<json::object> requests = named("request");
  ASSERT_EQ(requests.size(), 4u);
  EXPECT_EQ(number(requests[0], "ts"), 50);
  EXPECT_EQ(number(requests[2], "ts"), 300);
  EXPECT_EQ(arg(requests[2], "output tokens"), 2);
  EXPECT_EQ(arg(requests[2], "from device"), 16);
  EXPECT_EQ(requests[3].at("args").at("finish").as_string(), "cancelled");
}

TEST_F(TraceWriterTest, AWholeRunIsDrawn) {
  Config config;
  config.model.load = "dummy";
  config.backend = "cpu";
  config.parallel.threads = 1;
  config.cache.device = {1 << 20, 0};
  config.trace = path_;
  EngineStats stats;
  run_engine(config, 2, {greedy_request(1, 40, 8, 512), greedy_request(2, 20, 8, 512)}, &stats);
  EXPECT_EQ(named("plan").size(), stats.steps);
  EXPECT_EQ(named("first token").size(), 2u);
  EXPECT_EQ(named("request").size(), 4u);
  EXPECT_EQ(arg(named("request").back(), "output tokens"), 8);
}

TEST_F(TraceWriterTest, AFileThatCannotBeMadeIsSaidAtOnce) { EXPECT_THROW(TraceWriter("/no/such/folder/trace.json", 1, 0), Error); }

}  // namespace
}  // namespace terrace
