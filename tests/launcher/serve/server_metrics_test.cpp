#include "launcher/serve/server_metrics.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <regex>
#include <set>
#include <sstream>

#include "launcher/serve/metrics_text.h"

namespace terrace {
namespace {

constexpr int64_t kMillisecond = 1000;

TEST(MetricsTextTest, WritesWhatPrometheusReads) {
  MetricsText text;
  text.family("a_total", "counter", "What it is");
  text.sample(3, {{"name", "with \"quotes\", \\ and\nlines"}});
  Histogram histogram({0.5, 1});
  for (const double value : {0.5, 0.7, 9.0}) histogram.observe(value);
  text.family("b", "histogram", "Times");
  text.histogram(histogram);
  EXPECT_EQ(text.text(),
            "# HELP a_total What it is\n# TYPE a_total counter\na_total{name=\"with \\\"quotes\\\", \\\\ and\\nlines\"} 3\n"
            "# HELP b Times\n# TYPE b histogram\nb_bucket{le=\"0.5\"} 1\nb_bucket{le=\"1\"} 2\nb_bucket{le=\"+Inf\"} 3\nb_sum 10.2\nb_count 3\n");
}

TEST(ServerMetricsTest, TimesARequestFromItsTokens) {
  ServerMetrics metrics;
  RequestTimes times{.arrived_us = 1, .started_us = 5 * kMillisecond};
  int64_t choice_us = 0;
  metrics.token(times, choice_us, 20 * kMillisecond);
  metrics.token(times, choice_us, 23 * kMillisecond);
  metrics.finished("stop", times);
  EXPECT_EQ(times.first_token_us, 20 * kMillisecond);
  EXPECT_EQ(times.last_token_us, 23 * kMillisecond);
  EXPECT_EQ(times.num_tokens, 2);
  const std::string text = metrics.text({});
  EXPECT_NE(text.find("terrace_time_to_first_token_seconds_bucket{le=\"0.025\"} 1\n"), std::string::npos) << text;
  EXPECT_NE(text.find("terrace_time_to_first_token_seconds_bucket{le=\"0.01\"} 0\n"), std::string::npos);
  EXPECT_NE(text.find("terrace_inter_token_latency_seconds_bucket{le=\"0.005\"} 1\n"), std::string::npos);
  EXPECT_NE(text.find("terrace_request_success_total{finished_reason=\"stop\"} 1\n"), std::string::npos);
}

TEST(ServerMetricsTest, TimesBetweenTokensAreThoseOfOneChoice) {
  ServerMetrics metrics;
  RequestTimes times{.arrived_us = 1, .started_us = 1};
  int64_t choices[2] = {};
  for (const int64_t at : {100, 140}) {
    for (int64_t& choice_us : choices) metrics.token(times, choice_us, at * kMillisecond);
  }
  const std::string text = metrics.text({});
  EXPECT_NE(text.find("terrace_inter_token_latency_seconds_bucket{le=\"0.025\"} 0\n"), std::string::npos) << text;
  EXPECT_NE(text.find("terrace_inter_token_latency_seconds_bucket{le=\"0.05\"} 2\n"), std::string::npos) << text;
  EXPECT_NE(text.find("terrace_time_to_first_token_seconds_count 1\n"), std::string::npos) << text;
}

TEST(ServerMetricsTest, EveryLineIsWellFormedAndEveryFamilyIsNamedOnce) {
  ServerMetrics metrics;
  metrics.answered("/v1/models", 200);
  ServerMetrics::Gauges gauges;
  gauges.engine.frames_total = {10, 5, 0};
  gauges.engine.rank_busy_us = {1, 2};
  const std::string text = metrics.text(gauges);
  const std::regex comment(R"(# (HELP terrace_[a-z0-9_]+ \S.*|TYPE terrace_[a-z0-9_]+ (counter|gauge|histogram)))");
  const std::regex sample(R"re(terrace_[a-z0-9_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})? [0-9.e+-]+)re");
  std::set<std::string> families;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_TRUE(std::regex_match(line, line.front() == '#' ? comment : sample)) << line;
    if (!line.starts_with("# TYPE")) continue;
    EXPECT_TRUE(families.insert(line.substr(7, line.find(' ', 7) - 7)).second) << line;
  }
  EXPECT_GT(families.size(), 20u);
}

TEST(RecentTest, CountsTheLastMinuteOnly) {
  RecentRate rate;
  rate.add(600, 1'000'000);
  EXPECT_DOUBLE_EQ(rate.per_second(1'000'001), 600);  // over the second that has been
  EXPECT_DOUBLE_EQ(rate.per_second(61'000'000), 10);
  EXPECT_DOUBLE_EQ(rate.per_second(62'000'001), 0);
  RecentValues values;
  for (int i = 1; i <= 100; ++i) values.add(i, 1'000'000);
  EXPECT_DOUBLE_EQ(values.percentile(0.5, 2'000'000), 50);
  EXPECT_DOUBLE_EQ(values.percentile(0.99, 2'000'000), 99);
  EXPECT_DOUBLE_EQ(values.percentile(0.5, 62'000'001), 0);
}

}  // namespace
}  // namespace terrace
