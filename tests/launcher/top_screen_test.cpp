#include "launcher/top_screen.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "kernels/base/error.h"
#include "launcher/serve/server_metrics.h"

namespace terrace {
namespace {

// As a real server says it.
StatsChange change(uint64_t tokens_before, uint64_t tokens_now) {
  const ServerMetrics metrics;
  ServerMetrics::Gauges gauges;
  gauges.max_sequences = 8;
  gauges.engine.running = 2;
  gauges.engine.steps = 10;
  gauges.engine.generated_tokens = tokens_before;
  gauges.engine.rank_busy_us = {0, 0};
  gauges.engine.frames_total = {100, 0, 50};
  gauges.engine.frames_used = {60, 0, 50};
  gauges.engine.page_ages[0] = {.held = 20, .idle = {10, 5, 5, 10, 0}};
  gauges.engine.page_ages[2] = {.held = 0, .idle = {0, 0, 0, 0, 50}};
  StatsChange change;
  change.before = metrics.live(gauges);
  change.elapsed = 2;
  gauges.engine.steps = 30;
  gauges.engine.generated_tokens = tokens_now;
  gauges.engine.rank_busy_us = {1'000'000, 500'000};
  gauges.engine.skew_us = 20'000;
  gauges.engine.tiers.moved_in = {0, 0, 30};
  change.now = metrics.live(gauges);
  return change;
}

std::string joined(const std::vector<std::string>& lines) {
  return std::accumulate(lines.begin(), lines.end(), std::string(), [](std::string text, const std::string& line) { return std::move(text) + line + "\n"; });
}

bool has(const std::string& text, std::string_view what) { return text.find(what) != std::string::npos; }

int64_t num_characters(const std::string& text) {
  return std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

TEST(TopScreenTest, ShowsRatesBetweenTwoLooks) {
  const std::string text = joined(top_screen(change(100, 160), "http://server", 100));
  EXPECT_TRUE(has(text, "2/8")) << text;
  EXPECT_TRUE(has(text, "steps/s         10.0")) << text;
  EXPECT_TRUE(has(text, "tokens a step        3.0")) << text;
  EXPECT_TRUE(has(text, "60 of 100")) << text;
  EXPECT_TRUE(has(text, "15\n")) << text;  // pages a second to the disk
  EXPECT_FALSE(has(text, "host")) << text;
  EXPECT_TRUE(has(text, "50 % busy")) << text;
  EXPECT_TRUE(has(text, "skew 1.0 ms a step")) << text;
}

TEST(TopScreenTest, ABarShowsPagesByAge) {
  const std::string text = joined(top_screen(change(0, 0), "http://server", 148));
  std::string bar;
  for (const auto& [cell, count] : {std::pair("█", 30), {"▓", 10}, {"▒", 10}, {"░", 10}, {"·", 40}}) {
    for (int i = 0; i < count; ++i) bar += cell;
  }
  EXPECT_TRUE(has(text, bar)) << text;  // 20 held and 10 that sequences have for themselves, 10 young, 10 and 10 older
}

TEST(TopScreenTest, NoLineIsWiderThanTheTerminal) {
  for (const int width : {1, 20, 40, 80, 300}) {
    for (const std::string& line : top_screen(change(0, 1), "http://a-server-with-a-long-name.example.org:8000", width)) EXPECT_LE(num_characters(line), width) << line;
  }
  EXPECT_EQ(clipped("a\x1b[2Jb", 10), "a [2Jb");  // what a server says moves no cursor
}

TEST(TopScreenTest, TheFirstLookAndARestartHaveNoRates) {
  StatsChange first = change(100, 160);
  first.before.clear();
  EXPECT_TRUE(has(joined(top_screen(first, "http://server", 100)), "steps/s          0.0"));
  EXPECT_TRUE(has(top_line(change(100, 50)), "running 2  waiting 0  first token -")) << top_line(change(100, 50));
}

TEST(TopScreenTest, AnotherServersAnswerIsRefused) {
  StatsChange other;
  other.now = {{"running", 1}};
  EXPECT_THROW(top_screen(other, "http://server", 80), Error);
  other = change(0, 1);
  other.now["tiers"] = "many";
  EXPECT_THROW(top_line(other), Error);
}

}  // namespace
}  // namespace terrace
