// The whole engine over a small random model: equal tokens for every number of ranks, and LAW 4 (equal bits whatever the batch).
#include "runtime/engine.h"

#include <gtest/gtest.h>

#include "comm/group.h"
#include "runtime/session.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

Request make_request(int seed, int prompt, int max_tokens) { return greedy_request(seed, prompt, max_tokens, 320); }

TEST(EngineTest, AloneOrInABatchOf32GivesEqualBits) {
  std::vector<Request> requests;
  for (int i = 0; i < 32; ++i) requests.push_back(make_request(i, 5 + i * 9, 12 + i % 5));
  const Outputs together = run_engine(small_model_config(), 1, requests);
  ASSERT_EQ(together.size(), 32u);
  for (const size_t i : {0u, 7u, 19u, 31u}) {
    const Outputs alone = run_engine(small_model_config(), 1, {requests[i]});
    expect_bit_equal(alone.at(1), together.at(i + 1), "sequence " + std::to_string(i));
  }
}

TEST(EngineTest, HowThePromptIsChunkedDoesNotMatter) {
  const std::vector<Request> requests = {make_request(3, 400, 10)};
  Config config = small_model_config();
  config.scheduler.max_tokens_per_step = 512;
  const Outputs whole = run_engine(config, 1, requests);
  for (const int chunk : {1, 16, 100}) {
    config.scheduler.max_tokens_per_step = chunk;
    config.scheduler.max_sequences = 1;
    expect_bit_equal(run_engine(config, 1, requests).at(1), whole.at(1), "chunks of " + std::to_string(chunk));
  }
}

TEST(EngineTest, PreemptedAndResumedGivesEqualBits) {
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(make_request(i, 30 + 7 * i, 40));
  EngineStats roomy;
  const Outputs calm = run_engine(small_model_config(), 1, requests, &roomy);
  Config config = small_model_config();
  config.cache.device = {kSmallModelPage * 8, 0};
  EngineStats tight;
  const Outputs pressed = run_engine(config, 1, requests, &tight);
  EXPECT_EQ(roomy.preemptions, 0u);
  EXPECT_GT(tight.preemptions, 0u);
  for (const auto& [id, events] : calm) expect_bit_equal(pressed.at(id), events, "sequence " + std::to_string(id));
}

TEST(EngineTest, ASeedGivesOneTextAtAnyLoad) {
  std::vector<Request> requests;
  for (int i = 0; i < 16; ++i) {
    requests.push_back(make_request(i, 20 + i, 20));
    requests.back().sampling.temperature = 0.9f;
    requests.back().sampling.top_p = 0.95f;
    requests.back().sampling.seed = 1000 + static_cast<uint64_t>(i);
  }
  const Outputs together = run_engine(small_model_config(), 1, requests);
  const Outputs alone = run_engine(small_model_config(), 1, {requests[9]});
  expect_bit_equal(alone.at(1), together.at(10), "seeded");
}

TEST(EngineTest, WithoutCacheTheTokensAreTheSame) {
  const std::vector<Request> requests = {make_request(1, 40, 12), make_request(2, 25, 8)};
  const Outputs cached = run_engine(small_model_config(), 1, requests);
  Config config = small_model_config();
  config.cache.enabled = false;
  const Outputs naive = run_engine(config, 1, requests);
  for (const auto& [id, events] : cached) expect_bit_equal(naive.at(id), events, "sequence " + std::to_string(id));
}

TEST(EngineTest, RanksShareTheHeadsUnevenlyAndAgree) {
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(make_request(i, 15 + i * 20, 8));
  const Outputs one = run_engine(small_model_config(), 1, requests);
  for (const int ranks : {2, 3, 4, 6}) {  // 4: heads 2,2,1,1 cut KV groups; 6: more ranks than KV heads
    const Outputs many = run_engine(small_model_config(), ranks, requests);
    ASSERT_EQ(many.size(), one.size());
    for (const auto& [id, events] : one) {
      ASSERT_EQ(many.at(id).size(), events.size());
      for (size_t i = 0; i < events.size(); ++i) {
        if (events[i].top.size() >= 2 && events[i].top[0].logprob - events[i].top[1].logprob < 0.02f) break;  // a tie may fall either way
        EXPECT_EQ(many.at(id)[i].token, events[i].token) << ranks << " ranks, sequence " << id << ", token " << i;
        EXPECT_NEAR(many.at(id)[i].logprob, events[i].logprob, 0.05);
      }
    }
  }
}

TEST(EngineTest, PromptLogprobsMatchWhatTheModelWouldHaveSaid) {
  Request scored = make_request(5, 30, 0);
  scored.prompt_logprobs = true;
  const Outputs prompt = run_engine(small_model_config(), 1, {scored});
  ASSERT_EQ(prompt.at(1).size(), 30u);  // 29 tokens and the end
  EXPECT_EQ(prompt.at(1).back().finish, FinishReason::kLength);
  // Token 12's log-probability, asked another way: the first token after a prompt of 12.
  Request shorter = make_request(5, 12, 1);
  shorter.logprobs = 20;
  shorter.sampling.logit_bias = {{make_request(5, 13, 1).prompt.back(), 100.0f}};
  const Outputs next = run_engine(small_model_config(), 1, {shorter});
  EXPECT_EQ(next.at(1)[0].token, prompt.at(1)[11].token);
  EXPECT_EQ(next.at(1)[0].logprob, prompt.at(1)[11].logprob);
}

TEST(EngineTest, CancelledSequencesEndAndTheRestGoesOn) {
  GroupOptions options;
  run_ranks(options, [&](RankGroup& group) {
    Session session(small_model_config(), group, {.announce = false, .load_progress = {}});
    Engine& engine = session.engine();
    const SequenceId a = engine.submit(make_request(1, 20, 50));
    const SequenceId b = engine.submit(make_request(2, 20, 5));
    engine.step();
    engine.cancel(a);
    engine.cancel(12345);
    FinishReason end_a = FinishReason::kNone, end_b = FinishReason::kNone;
    TokenSources sources;
    while (engine.busy()) {
      for (const SequenceEvent& event : engine.step()) {
        if (event.finish == FinishReason::kNone) continue;
        (event.id == a ? end_a : end_b) = event.finish;
        sources += event.sources;
      }
    }
    EXPECT_EQ(end_a, FinishReason::kCancelled);
    EXPECT_EQ(end_b, FinishReason::kLength);
    EXPECT_EQ(b, a + 1);
    EXPECT_EQ(sources.computed, 20 + 20 + 4);  // also of the one that was cancelled, after its prompt
    EXPECT_EQ(engine.stats().sources.computed, sources.computed);
    engine.stop();
    return 0;
  });
}

TEST(EngineTest, WastesFewTokenSlotsInAMixedBatch) {
  std::vector<Request> requests;
  for (int i = 0; i < 24; ++i) requests.push_back(make_request(i, 150 + (i * 53) % 300, 20 + (i * 29) % 100));
  EngineStats stats;
  run_engine(small_model_config(), 1, requests, &stats);
  const double waste = 1.0 - static_cast<double>(stats.kv_tokens) / static_cast<double>(stats.frame_token_slots);
  EXPECT_LE(waste, 0.04);  // the mean length is above 256: half a page of 16 tokens a sequence
  EXPECT_GE(waste, 0.0);
}

}  // namespace
}  // namespace terrace
