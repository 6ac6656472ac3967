// Sequences without end (attention.window): what they see, how much they hold, and LAW 4 for them.
#include <gtest/gtest.h>

#include "kernels/page_layout.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

constexpr int32_t kWindow = 40, kSinks = 5;

Config stream_config(int32_t layers = 3) {
  Config config = small_model_config();
  config.model.geometry.layers = layers;
  config.model.geometry.context_length = 128;
  config.attention = {.window = kWindow, .sinks = kSinks};
  config.cache.device = {8 << 20, 0};
  config.cache.page_tokens = 8;
  config.scheduler = {.max_tokens_per_step = 64, .max_sequences = 8};
  return config;
}

Request scored(int seed, int tokens) {
  Request request = greedy_request(seed, tokens, 0, 320);
  request.prompt_logprobs = true;
  return request;
}

int64_t page_bytes() {
  return static_cast<int64_t>(make_page_layout(KvType::kF16, 8, 3, 3, 32).page_stride);
}

TEST(StreamTest, ChunksAndSingleTokensGiveEqualBits) {
  const std::vector<Request> requests = {scored(1, 600)};
  Config config = stream_config();
  const Outputs whole = run_engine(config, 1, requests);
  for (const int32_t chunk : {1, 7, 37, 300}) {
    config.scheduler.max_tokens_per_step = chunk;
    config.scheduler.max_sequences = 1;
    expect_bit_equal(whole.at(1), run_engine(config, 1, requests).at(1), "chunks of " + std::to_string(chunk));
  }
}

// With one layer K and V of a token depend on nothing else: so what the model says after position p is what it says of the sinks and the last window
// alone, as a sequence of its own.
TEST(StreamTest, SeesTheSinksAndTheLastWindowAsOneShortSequence) {
  Config config = stream_config(1);
  config.cache.format = KvType::kF32;
  const std::vector<int32_t> tokens = greedy_request(3, 900, 0, 320).prompt;
  const std::vector<size_t> lengths = {10, 45, 46, 47, 100, 500, 900};
  std::vector<Request> streams, alone;
  for (const size_t length : lengths) {
    Request request = greedy_request(3, 1, 1, 320);
    request.prompt.assign(tokens.begin(), tokens.begin() + static_cast<int64_t>(length));
    streams.push_back(request);
    if (length > kSinks + kWindow) request.prompt.erase(request.prompt.begin() + kSinks, request.prompt.end() - kWindow);
    alone.push_back(request);
  }
  const Outputs actual = run_engine(config, 1, streams);
  config.attention.window = 0;
  const Outputs expected = run_engine(config, 1, alone);
  for (size_t i = 0; i < lengths.size(); ++i) {
    const SequenceEvent& a = actual.at(i + 1).at(0);
    const SequenceEvent& b = expected.at(i + 1).at(0);
    ASSERT_EQ(a.token, b.token) << lengths[i];
    for (size_t k = 0; k < b.top.size(); ++k) EXPECT_NEAR(a.top.at(k).logprob, b.top[k].logprob, 2e-4) << lengths[i];
  }
}

TEST(StreamTest, OutgrowsContextAndPoolOn1And2Ranks) {
  for (const int ranks : {1, 2}) {
    Config config = stream_config();
    config.scheduler = {.max_tokens_per_step = 16, .max_sequences = 1};
    config.cache.device = {page_bytes() * 12, 0};  // sinks 1, window and chunk 8: 96 tokens at most
    EngineStats stats;
    const Outputs outputs = run_engine(config, ranks, {greedy_request(1, 300, 2000, 320)}, &stats);
    ASSERT_EQ(outputs.at(1).size(), 2000u);
    EXPECT_EQ(outputs.at(1).back().finish, FinishReason::kLength);
    EXPECT_LE(stats.frame_token_slots, stats.steps * 9 * 8);
    EXPECT_EQ(stats.preemptions, 0u);
  }
}

TEST(StreamTest, BatchPreemptionAndSharedBeginningsChangeNoBit) {
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(greedy_request(i / 2, 60 + 31 * (i / 2), 150 + 20 * (i % 2), 320));
  Config config = stream_config();
  config.cache.prefixes = false;
  Outputs expected;
  for (size_t i = 0; i < requests.size(); ++i) expected[i + 1] = run_engine(config, 1, {requests[i]}).at(1);
  config.cache.prefixes = true;
  config.scheduler.max_tokens_per_step = 24;
  for (const int64_t host_pages : {0, 40}) {
    config.cache.device = {page_bytes() * 19, 0};
    config.cache.host = {page_bytes() * host_pages, 0};
    config.cache.fetch = "always";
    EngineStats stats;
    const Outputs actual = run_engine(config, 1, requests, &stats);
    EXPECT_GT(stats.sources.cached(), 0);
    for (const auto& [id, events] : expected) expect_bit_equal(events, actual.at(id), "sequence " + std::to_string(id));
  }
}

TEST(StreamTest, ALaterRequestTakesOverWhatIsStillInSight) {
  Config config = stream_config();
  config.scheduler.max_sequences = 1;
  EngineStats stats;
  const Request request = greedy_request(1, 300, 1, 320);
  const Outputs outputs = run_engine(config, 1, {request, request}, &stats);
  EXPECT_EQ(stats.sources.device, 296);  // all full pages before the last token, most of which it does not see
  expect_bit_equal(outputs.at(1), outputs.at(2), "again");
}

TEST(StreamTest, RefusesAWindowBeyondTheContextInASentence) {
  Config config = stream_config();
  config.attention.window = 126;
  const std::string message = session_refusal(config);
  EXPECT_NE(message.find("attention.window 126 and attention.sinks 5 together exceed the model's context of 128 tokens"), std::string::npos) << message;
}

}  // namespace
}  // namespace terrace
