#include "runtime/sampling/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace terrace {
namespace {

PositionLogits from_full(std::vector<float> full) {
  PositionReport report;
  report.max = *std::ranges::max_element(full);
  for (const float logit : full) report.sum_exp += std::exp(logit - report.max);
  for (size_t i = 0; i < full.size(); ++i) report.top.push_back({static_cast<int32_t>(i), full[i]});
  std::ranges::sort(report.top, [](const TokenLogit& a, const TokenLogit& b) { return a.logit > b.logit || (a.logit == b.logit && a.token < b.token); });
  report.top.resize(std::min<size_t>(report.top.size(), kNumCandidates));
  report.full = std::move(full);
  PositionReport* parts[] = {&report};
  return join_positions(parts);
}

Request request_with(float temperature) {
  Request request;
  request.prompt = {1, 2};
  request.sampling.temperature = temperature;
  request.stop_tokens = {0};
  return request;
}

std::map<int32_t, double> frequencies(const PositionLogits& logits, Request request, int draws) {
  std::map<int32_t, double> counts;
  for (int i = 0; i < draws; ++i) {
    request.sampling.seed = static_cast<uint64_t>(i);
    counts[sample_token(logits, request, request.prompt).token] += 1.0 / draws;
  }
  return counts;
}

TEST(SamplerTest, GreedyTakesTheLargestAndTheSmallerTokenOnATie) {
  EXPECT_EQ(sample_token(from_full({0, 3, 5, 5}), request_with(0), {}).token, 2);
}

TEST(SamplerTest, TemperatureFollowsTheSoftmax) {
  const std::vector<float> logits = {0.0f, 1.0f, 2.0f, -1.0f};
  double total = 0;
  for (const float logit : logits) total += std::exp(logit / 0.7);
  const auto found = frequencies(from_full(logits), request_with(0.7f), 20000);
  for (const auto& [token, frequency] : found) EXPECT_NEAR(frequency, std::exp(logits[static_cast<size_t>(token)] / 0.7) / total, 0.012);
}

TEST(SamplerTest, TopKTopPAndMinPCutTheTail) {
  const PositionLogits logits = from_full({3, 2, 1, 0, -1, -2});  // probabilities 0.63 0.23 0.086 0.03 0.012 0.004
  Request request = request_with(1);
  request.sampling.top_k = 2;
  EXPECT_EQ(frequencies(logits, request, 2000).size(), 2u);
  request = request_with(1);
  request.sampling.top_p = 0.9f;
  EXPECT_EQ(frequencies(logits, request, 3000).size(), 3u);
  request = request_with(1);
  request.sampling.min_p = 0.3f;
  EXPECT_EQ(frequencies(logits, request, 2000).size(), 2u);
  request.sampling.top_p = 0.0f;  // the best token always stays
  EXPECT_EQ(frequencies(logits, request, 100).size(), 1u);
}

TEST(SamplerTest, BiasAndPenaltiesMoveTheChoice) {
  Request request = request_with(0);
  request.sampling.logit_bias = {{0, 10.0f}};
  EXPECT_EQ(sample_token(from_full({0, 3, 5, 4}), request, request.prompt).token, 0);
  request = request_with(0);
  request.sampling.repetition_penalty = 2.0f;  // 2 is in the prompt: 5 / 2
  EXPECT_EQ(sample_token(from_full({0, 3, 5, 4}), request, request.prompt).token, 3);
  request = request_with(0);
  request.sampling.frequency_penalty = 0.6f;  // output only, by count: 5 - 1.2, the prompt's 2 does not count
  const std::vector<int32_t> tokens = {1, 2, 2, 2};
  EXPECT_EQ(sample_token(from_full({0, 3, 5, 4}), request, tokens).token, 3);
  request.sampling.frequency_penalty = 0.4f;
  EXPECT_EQ(sample_token(from_full({0, 3, 5, 4}), request, tokens).token, 2);
}

TEST(SamplerTest, MinTokensMasksStopTokens) {
  Request request = request_with(0);
  request.min_tokens = 1;
  PositionLogits logits = from_full({9, 3, 5, 4});
  EXPECT_EQ(sample_token(logits, request, request.prompt).token, 2);
  logits.full.clear();  // and on candidates alone
  EXPECT_EQ(sample_token(logits, request, request.prompt).token, 2);
  EXPECT_EQ(sample_token(logits, request, std::vector<int32_t>{1, 2, 3}).token, 0);
}

TEST(SamplerTest, CandidatesGiveWhatAllLogitsGive) {
  std::mt19937 rng(3);
  std::normal_distribution<float> normal(0, 3);
  for (int round = 0; round < 200; ++round) {
    std::vector<float> full(500);
    for (float& logit : full) logit = normal(rng);
    Request request = request_with(0.8f);
    request.sampling.seed = rng();
    request.sampling.top_k = 40;
    request.sampling.top_p = 0.95f;
    request.logprobs = 5;
    ASSERT_FALSE(needs_full_logits(request));
    PositionLogits logits = from_full(full);
    const SampledToken from_all = sample_token(logits, request, request.prompt);
    logits.full.clear();
    const SampledToken from_candidates = sample_token(logits, request, request.prompt);
    ASSERT_EQ(from_all.token, from_candidates.token);
    ASSERT_EQ(from_all.logprob, from_candidates.logprob);
  }
}

TEST(SamplerTest, LogprobsComeBeforeEverything) {
  Request request = request_with(0);
  request.logprobs = 2;
  request.sampling.logit_bias = {{0, 50.0f}};
  const SampledToken sampled = sample_token(from_full({0, 1, 2}), request, request.prompt);
  const double lse = std::log(std::exp(0.0) + std::exp(1.0) + std::exp(2.0));
  EXPECT_EQ(sampled.token, 0);
  EXPECT_NEAR(sampled.logprob, -lse, 1e-6);
  ASSERT_EQ(sampled.top.size(), 2u);
  EXPECT_EQ(sampled.top[0].token, 2);
  EXPECT_NEAR(sampled.top[0].logprob, 2 - lse, 1e-6);
}

TEST(SamplerTest, JoinsTheSlicesOfRanks) {
  PositionReport low{.max = 1, .sum_exp = 1.5f, .top = {{3, 1.0f}, {0, 0.5f}}, .full = {0.5f, 1}};
  PositionReport high{.max = 4, .sum_exp = 2.0f, .has_target = true, .target_logit = 4, .top = {{9, 4.0f}, {8, 4.0f}}, .full = {4, 4}};
  PositionReport* parts[] = {&low, &high};
  const PositionLogits joined = join_positions(parts);
  EXPECT_NEAR(joined.log_sum_exp, 4 + std::log(2 + 1.5 * std::exp(-3.0)), 1e-6);
  ASSERT_EQ(joined.top.size(), 2u);
  EXPECT_EQ(joined.top[0].token, 8);
  EXPECT_EQ(joined.top[1].token, 9);
  EXPECT_EQ(joined.full, (std::vector<float>{0.5f, 1, 4, 4}));
  EXPECT_TRUE(joined.has_target);
}

TEST(SamplerTest, LogitsThatAreNotFiniteAreAnError) {
  PositionReport broken;
  broken.max = std::nanf("");
  PositionReport* parts[] = {&broken};
  EXPECT_ANY_THROW(join_positions(parts));
}

}  // namespace
}  // namespace terrace
