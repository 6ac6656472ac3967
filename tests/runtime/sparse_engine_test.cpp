// Sparse reading through the whole engine (attention.sparse): LAW 4 for sequences whose generated tokens read some pages only, wherever these lie.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/base/error.h"
#include "kernels/page_layout.h"
#include "tests/support/runtime/engine_run.h"
#include "tests/support/runtime/loading_backend.h"

namespace terrace {
namespace {

Config sparse_config(const std::string& mode) {
  Config config = small_model_config();
  config.attention.sparse = {.mode = mode, .pages = 6, .epsilon = 3, .first_layers = 1, .sink_pages = 1, .recent_pages = 2, .prompts_from = 0};
  config.cache.page_tokens = 8;
  config.cache.device = {8 << 20, 0};
  config.cache.fetch = "always";  // this model computes faster than pages come
  config.scheduler = {.max_tokens_per_step = 64, .max_sequences = 8};
  return config;
}

MemorySize pages(int64_t count, int kv_heads = 3) { return {count * static_cast<int64_t>(make_page_layout(KvType::kF16, 8, 3, kv_heads, 32, true).page_stride), 0}; }

std::vector<Request> some_requests() {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(greedy_request(i / 2, 90 + 31 * (i / 2), 50 + 20 * (i % 2), 320));
  return requests;
}

Outputs alone(Config config, int ranks, const std::vector<Request>& requests) {
  config.cache.prefixes = false;
  config.scheduler.max_sequences = 1;
  return run_engine(config, ranks, requests);
}

TEST(SparseEngineTest, BatchesTiersAndPreemptionsChangeNoBitOn1And2And3Ranks) {
  const std::vector<Request> requests = some_requests();
  for (const std::string mode : {"top", "bounded"}) {
    for (const int ranks : {1, 2, 3}) {
      Config config = sparse_config(mode);
      EngineStats stats;
      const Outputs expected = alone(config, ranks, requests);
      const std::string what = fmt::format("{} on {} ranks", mode, ranks);
      expect_same(expected, run_engine(config, ranks, requests, &stats), what + ", together");
      EXPECT_LT(stats.reading.pages_read, stats.reading.pages_seen);
      EXPECT_EQ(stats.reading.left_out > 0, mode == "bounded");
      config.scheduler.max_tokens_per_step = 24;
      config.cache.device = pages(30, 4 - ranks);  // of 3, 2 or 1 KV heads
      expect_same(expected, run_engine(config, ranks, requests, &stats), what + ", in a small pool");
      EXPECT_GT(stats.preemptions, 0u);
      config.cache.host = pages(90, 4 - ranks);
      expect_same(expected, run_engine(config, ranks, requests, &stats), what + ", from the host");
      EXPECT_GT(stats.tiers.moved_in[0], 0u);
      config.cache.device = pages(12, 4 - ranks);  // less than one sequence
      config.cache.in_place = true;
      expect_same(expected, run_engine(config, ranks, requests, &stats), what + ", in place");
    }
  }
}

TEST(SparseEngineTest, WithoutACacheTheBitsAreTheSame) {
  Config config = sparse_config("top");
  const std::vector<Request> requests = {greedy_request(3, 90, 12, 320)};
  const Outputs expected = alone(config, 1, requests);
  config.cache.enabled = false;
  expect_same(expected, run_engine(config, 1, requests), "computed again and again");
}

TEST(SparseEngineTest, PagesForAllGiveTheBitsOfReadingAll) {
  const std::vector<Request> requests = some_requests();
  Config config = sparse_config("top");
  config.attention.sparse.pages = 40;
  EngineStats stats;
  const Outputs sparse = run_engine(config, 1, requests, &stats);
  EXPECT_EQ(stats.reading.pages_read, stats.reading.pages_seen);
  EXPECT_GT(stats.reading.pages_seen, 0);
  config.attention.sparse = {};
  expect_same(run_engine(config, 1, requests, &stats), sparse, "off");
  EXPECT_EQ(stats.reading.pages_seen, 0);
}

// What an answer's tokens computed isn't what a prompt of the same tokens computes, so a conversation that goes on takes over the prompt's pages only.
TEST(SparseEngineTest, APromptNeverTakesOverWhatAnAnswerComputed) {
  Config config = sparse_config("top");
  config.scheduler.max_sequences = 1;
  const Request first = greedy_request(2, 100, 60, 320);
  const Outputs answer = run_engine(config, 1, {first});
  Request second = first;
  for (const SequenceEvent& event : answer.at(1)) second.prompt.push_back(event.token);
  for (int i = 0; i < 9; ++i) second.prompt.push_back(i);
  second.max_tokens = 5;
  EngineStats stats;
  const Outputs both = run_engine(config, 1, {first, second, first}, &stats);
  expect_bit_equal(alone(config, 1, {second}).at(1), both.at(2), "after the answer");
  expect_bit_equal(answer.at(1), both.at(3), "the first again");
  EXPECT_EQ(stats.sources.device, 96 + 96 + 3);  // the first again finds the beginning of its last page too, by the same chain
}

// A text is scored as its tokens were generated, in chunks and one by one.
TEST(SparseEngineTest, ScoringFromAPositionOnGivesTheBitsOfGenerating) {
  for (const std::string mode : {"top", "bounded"}) {
    Config config = sparse_config(mode);
    const Request request = greedy_request(4, 110, 70, 320);
    const std::vector<SequenceEvent> generated = run_engine(config, 1, {request}).at(1);
    Request scored = request;
    for (const SequenceEvent& event : generated) scored.prompt.push_back(event.token);
    scored.max_tokens = 0;
    scored.prompt_logprobs = true;
    config.attention.sparse.prompts_from = 110;
    std::vector<SequenceEvent> events = run_engine(config, 1, {scored}).at(1);
    std::erase_if(events, [](const SequenceEvent& event) { return event.token < 0; });
    ASSERT_EQ(events.size(), 179u);
    for (size_t i = 0; i < generated.size(); ++i) ASSERT_EQ(events[109 + i].logprob, generated[i].logprob) << mode << ", token " << i;
  }
}

double mean_difference(const std::vector<SequenceEvent>& a, const std::vector<SequenceEvent>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::abs(static_cast<double>(a[i].logprob) - b.at(i).logprob);
  return sum / static_cast<double>(a.size());
}

TEST(SparseEngineTest, RanksChooseLikeOne) {
  Config config = sparse_config("top");
  config.attention.sparse.prompts_from = 60;
  Request scored = greedy_request(1, 300, 0, 320);
  scored.prompt_logprobs = true;
  EngineStats one, three;
  const std::vector<SequenceEvent> on_one = run_engine(config, 1, {scored}, &one).at(1), on_three = run_engine(config, 3, {scored}, &three).at(1);
  config.attention.sparse.mode = "off";
  const std::vector<SequenceEvent> dense = run_engine(config, 1, {scored}).at(1), dense_on_three = run_engine(config, 3, {scored}).at(1);
  // Sums of another order round otherwise, with and without: near ties among the pages are chosen otherwise now and then.
  EXPECT_LT(mean_difference(on_one, on_three), 4 * mean_difference(dense, dense_on_three));
  EXPECT_GT(mean_difference(on_one, dense), 3 * mean_difference(on_one, on_three));
  EXPECT_EQ(one.reading.pages_read, three.reading.pages_read);
  EXPECT_EQ(one.reading.pages_seen, three.reading.pages_seen);
}

TEST(SparseEngineTest, WhatCannotBeIsRefusedInASentence) {
  Config config = sparse_config("top");
  config.cache.host = {1 << 20, 0};
  config.cache.host_format = "Q8";
  EXPECT_NE(session_refusal(config).find("cache.host_format Q8 and attention.sparse exclude one another"), std::string::npos) << session_refusal(config);
  config = sparse_config("top");
  config.attention.window = 64;
  EXPECT_NE(session_refusal(config).find("attention.sparse is of no use where all layers have a window"), std::string::npos) << session_refusal(config);
}

TEST(SparseEngineTest, ABackendThatReadsAllPagesSaysSo) {
  try {
    LoadingBackend().check_sparse_reading({.mode = SparseReading::Mode::kTop});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("attention.sparse: loading only reads all pages; set attention.sparse.mode to off, or say backend: cpu"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
