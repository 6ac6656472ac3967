// What a load test is made of, without a server: arrivals, percentiles, requests, events and the report.
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cstdio>
#include <fstream>
#include <set>

#include "kernels/base/error.h"
#include "launcher/bench/arrivals.h"
#include "launcher/bench/load_report.h"
#include "launcher/bench/load_source.h"
#include "launcher/bench/percentiles.h"
#include "launcher/bench/stream_event.h"
#include "launcher/bench/synthetic_text.h"

namespace terrace {
namespace {

namespace json = boost::json;

/// A file of these lines, gone with it.
class Lines {
 public:
  explicit Lines(const std::string& text) : path_(testing::TempDir() + "load_test_" + testing::UnitTest::GetInstance()->current_test_info()->name() + "." + std::to_string(getpid())) {
    std::ofstream(path_) << text;
  }
  ~Lines() { std::remove(path_.c_str()); }
  Lines(const Lines&) = delete;
  Lines& operator=(const Lines&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

json::object body_of(const LoadSource& source, int64_t number) { return json::parse(source.request(number).body).as_object(); }

TEST(PoissonArrivalsTest, GapsAreExponentialAtTheRateAndTheSameForASeed) {
  constexpr int kCount = 20'000;
  PoissonArrivals arrivals(50, 7), again(50, 7), other(50, 8);
  double last = 0, squares = 0;
  int long_gaps = 0;
  for (int i = 0; i < kCount; ++i) {
    const double at = arrivals.next();
    ASSERT_GE(at, last);
    ASSERT_EQ(at, again.next());
    squares += (at - last) * (at - last);
    if (at - last > 0.04) ++long_gaps;
    last = at;
  }
  EXPECT_NE(other.next(), PoissonArrivals(50, 7).next());
  EXPECT_NEAR(last / kCount, 0.02, 0.0005);
  EXPECT_NEAR(squares / kCount, 2 * 0.02 * 0.02, 4e-5);                   // an exponential's second moment
  EXPECT_NEAR(static_cast<double>(long_gaps) / kCount, 0.1353, 0.008);  // exp(-2)
}

TEST(PercentilesTest, LieBetweenTheNeighbouringValues) {
  const Percentiles many = percentiles_of({5, 1, 4, 2, 3});
  EXPECT_EQ(many.count, 5u);
  EXPECT_DOUBLE_EQ(many.mean, 3);
  EXPECT_DOUBLE_EQ(many.p50, 3);
  EXPECT_DOUBLE_EQ(many.p90, 4.6);  // as numpy.percentile([1, 2, 3, 4, 5], 90)
  EXPECT_DOUBLE_EQ(many.p99, 4.96);
  EXPECT_DOUBLE_EQ(many.max, 5);
  EXPECT_DOUBLE_EQ(percentiles_of({7}).p99, 7);
  EXPECT_EQ(percentiles_of({}).count, 0u);
}

TEST(LoadSourceTest, SyntheticPromptsShareTheirBeginningAndDifferAfterIt) {
  const auto source = make_synthetic_source({.input_from = 20, .input_to = 20, .output_from = 3, .output_to = 5, .shared_prefix = 12}, {.model = "m", .ignore_eos = true});
  const auto again = make_synthetic_source({.input_from = 20, .input_to = 20, .output_from = 3, .output_to = 5, .shared_prefix = 12}, {.model = "m", .ignore_eos = true});
  const std::string shared = synthetic_text(12, 1);
  std::set<std::string> prompts;
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(source->request(i).body, again->request(i).body);
    EXPECT_EQ(source->request(i).path, "/v1/completions");
    const json::object body = body_of(*source, i);
    const std::string prompt(body.at("prompt").as_string());
    EXPECT_EQ(std::ranges::count(prompt, ' '), 20);
    EXPECT_TRUE(prompt.starts_with(shared));
    prompts.insert(prompt);
    EXPECT_GE(body.at("max_tokens").as_int64(), 3);
    EXPECT_LE(body.at("max_tokens").as_int64(), 5);
    EXPECT_TRUE(body.at("stream").as_bool() && body.at("ignore_eos").as_bool());
    EXPECT_EQ(body.at("model"), "m");
  }
  EXPECT_EQ(prompts.size(), 20u);
  EXPECT_EQ(source->size(), std::nullopt);
}

TEST(LoadSourceTest, ADatasetsOwnMembersWinAndItBeginsAnew) {
  const Lines file("{\"prompt\": \"a\", \"max_tokens\": 2, \"model\": \"own\", \"stream\": false}\n\n"
                   "{\"custom_id\": \"x\", \"url\": \"/v1/chat/completions\", \"body\": {\"messages\": [], \"max_tokens\": 3}}\n");
  const auto source = read_dataset_source(file.path(), {.model = "m", .extra = {{"temperature", 0}}});
  ASSERT_EQ(source->size(), 2);
  EXPECT_EQ(source->request(0).path, "/v1/completions");
  EXPECT_EQ(body_of(*source, 0).at("model"), "own");
  EXPECT_EQ(body_of(*source, 0).at("temperature"), 0);
  EXPECT_TRUE(body_of(*source, 0).at("stream").as_bool());
  EXPECT_EQ(source->request(1).path, "/v1/chat/completions");
  EXPECT_EQ(body_of(*source, 1).at("model"), "m");
  EXPECT_FALSE(body_of(*source, 1).contains("custom_id"));
  EXPECT_EQ(source->request(2).body, source->request(0).body);
}

TEST(LoadSourceTest, ATracesEqualIdsAreEqualTextAndItsTimesGoOn) {
  const Lines file("{\"timestamp\": 0, \"input_length\": 10, \"output_length\": 4, \"hash_ids\": [7, 8]}\n"
                   "{\"timestamp\": 3000, \"input_length\": 11, \"output_length\": 5, \"hash_ids\": [7, 9]}\n");
  const auto source = read_trace_source(file.path(), 4, 2, false, {.model = "m"});
  const std::string first(body_of(*source, 0).at("prompt").as_string()), second(body_of(*source, 1).at("prompt").as_string());
  EXPECT_EQ(std::ranges::count(first, ' '), 10);  // two pages of 4, and two tokens that no id names
  EXPECT_EQ(std::ranges::count(second, ' '), 11);
  const std::string page = synthetic_text(4, 7);
  EXPECT_TRUE(first.starts_with(page) && second.starts_with(page));
  EXPECT_NE(first.substr(page.size(), 20), second.substr(page.size(), 20));
  EXPECT_EQ(body_of(*source, 1).at("max_tokens"), 5);
  EXPECT_DOUBLE_EQ(*source->request(1).at_seconds, 1.5);
  EXPECT_DOUBLE_EQ(*source->request(3).at_seconds, 3.0);
}

TEST(LoadSourceTest, SaysWhichLineIsWrong) {
  const auto message = [](const std::string& text, bool trace) -> std::string {
    const Lines file(text);
    try {
      if (trace) read_trace_source(file.path(), 512, 1, false, {});
      if (!trace) read_dataset_source(file.path(), {});
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(message("{\"prompt\": \"a\"}\n{\"n\": 1}\n", false).find("line 2: it has neither prompt nor messages"), std::string::npos);
  EXPECT_NE(message("[]", false).find("line 1: it is not a JSON object"), std::string::npos);
  EXPECT_NE(message("\n", false).find("holds no requests"), std::string::npos);
  const std::string row = "{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1}\n";
  EXPECT_EQ(message(row, true), "");
  EXPECT_NE(message(row + "{\"timestamp\": 4, \"input_length\": 1, \"output_length\": 1}", true).find("line 2: its timestamp is before"), std::string::npos);
  EXPECT_NE(message("{\"timestamp\": 5, \"input_length\": 1e300, \"output_length\": 1}", true).find("out of range"), std::string::npos);
  EXPECT_NE(message("{\"timestamp\": 5, \"input_length\": 1, \"output_length\": 1, \"hash_ids\": [0.5]}", true).find("not a whole number"), std::string::npos);
}

TEST(StreamEventTest, FindsTextUsageAndErrorsOfEitherEndpoint) {
  EXPECT_TRUE(read_stream_event("[DONE]").done);
  EXPECT_TRUE(read_stream_event(R"({"choices": [{"text": "a"}]})").has_text);
  EXPECT_TRUE(read_stream_event(R"({"choices": [{"delta": {"content": "a"}}]})").has_text);
  EXPECT_TRUE(read_stream_event(R"({"choices": [{"delta": {"tool_calls": [{}]}}]})").has_text);
  EXPECT_FALSE(read_stream_event(R"({"choices": [{"delta": {"role": "assistant", "content": ""}}], "usage": null})").has_text);
  const StreamEvent last = read_stream_event(R"({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 4, "prompt_tokens_details": {"cached_tokens": 2}}})");
  EXPECT_EQ(last.prompt_tokens, 3);
  EXPECT_EQ(last.output_tokens, 4);
  EXPECT_EQ(last.cached_tokens, 2);
  EXPECT_EQ(read_stream_event(R"({"error": {"message": "a rank was lost"}})").error, "a rank was lost");
  EXPECT_EQ(read_stream_event(R"({"error": {"code": 1}})").error, R"({"code":1})");
  EXPECT_NE(read_stream_event("<html>").error, "");
  EXPECT_EQ(read_stream_event(R"({"choices": [1, {"delta": 2, "text": 3}], "usage": 4, "error": null})").error, "");
  EXPECT_EQ(error_message_of(R"({"error": {"message": "full"}})"), "full");
  EXPECT_EQ(error_message_of("502 Bad Gateway"), "502 Bad Gateway");
}

LoadOutcome outcome_of(double due, double first, double ended, int64_t tokens) {
  LoadOutcome outcome;
  outcome.due = outcome.started = due;
  outcome.first_piece = first;
  outcome.ended = ended;
  outcome.prompt_tokens = 10;
  outcome.output_tokens = tokens;
  return outcome;
}

TEST(LoadReportTest, CountsTokensErrorsAndGoodputByHand) {
  LoadResult result;
  result.outcomes = {outcome_of(1, 1.1, 2.1, 11), outcome_of(2, 2.5, 3, 11), outcome_of(2, 2.1, 5, 11)};  // 100, 50 and 290 ms a token
  result.outcomes[0].gaps = {0.1, 0.3};
  LoadOutcome failed;
  failed.due = failed.started = 3;
  failed.ended = 3.1;
  failed.error = "HTTP 429";
  failed.detail = "full";
  result.outcomes.push_back(failed);
  result.client_pieces = {30, 20, 25};
  const LoadReport report = make_load_report("load", result, {.time_to_first = 0.2, .time_per_token = 0.15});
  EXPECT_EQ(report.completed, 3u);
  EXPECT_EQ(report.failed(), 1u);
  EXPECT_DOUBLE_EQ(report.seconds, 4);
  EXPECT_EQ(report.output_tokens, 33);
  EXPECT_EQ(report.good, 1u);  // the second began too late, the third was too slow
  EXPECT_DOUBLE_EQ(report.time_to_first.max, 0.5);
  EXPECT_DOUBLE_EQ(report.gaps.mean, 0.2);
  EXPECT_DOUBLE_EQ(report.time_per_token.max, 0.29);
  EXPECT_DOUBLE_EQ(*report.unfairness, 1.5);
  const std::string table = load_report_table(report, false);
  for (const char* part : {"3 completed, 1 failed in 4.00 s", "HTTP 429: full", "25.0 % of the requests", "1.50 times", "time to first token <= 200 ms"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part << "\n" << table;
  }
  const json::object body = json::parse(load_report_json(report)).as_object();
  EXPECT_EQ(body.at("errors").at("HTTP 429"), 1);
  EXPECT_DOUBLE_EQ(body.at("output_tokens_per_second").as_double(), 8.25);
  EXPECT_NEAR(body.at("time_to_first_token_ms").at("p50").as_double(), 100, 1e-6);
  EXPECT_NE(load_report_table(make_load_report("nothing", {}, {}), true).find("0 completed"), std::string::npos);
}

}  // namespace
}  // namespace terrace
