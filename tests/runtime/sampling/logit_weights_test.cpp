#include "runtime/sampling/logit_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <set>

#include "runtime/sampling/sampler.h"

namespace terrace {
namespace {

std::vector<float> random_row(size_t size, float deviation, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<float> normal(0, deviation);
  std::vector<float> row(size);
  for (float& logit : row) logit = normal(rng);
  return row;
}

TEST(LogitWeightsTest, AreExponentialsToTwoUlp) {
  const WeightScale scale(0, 1);
  EXPECT_EQ(scale.weight(0), 1.0f);
  EXPECT_EQ(scale.weight(-100), 0.0f);
  EXPECT_EQ(scale.weight(-INFINITY), 0.0f);
  for (float x = 0; x > -87; x -= 0.0137f) EXPECT_NEAR(scale.weight(x) / std::exp(static_cast<double>(x)), 1, 2.5e-7) << x;
  EXPECT_NEAR(WeightScale(3, 0.5f).weight(1), std::exp(-4.0), 1e-8);
  EXPECT_EQ(WeightScale(3, 1e-30f).weight(3), 1.0f);  // almost greedy
  EXPECT_EQ(WeightScale(3, 1e-30f).weight(2.9f), 0.0f);
}

TEST(LogitWeightsTest, DrawsByShareOfTheTotal) {
  const std::vector<float> row = random_row(5000, 2, 1);
  const LogitWeights weights(row, WeightScale(*std::ranges::max_element(row), 1.5f));
  double before = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const double weight = weights.values()[i];
    EXPECT_EQ(weights.draw((before + weight / 2) / weights.total()), static_cast<int32_t>(i));
    before += weight;
  }
  EXPECT_NEAR(before / weights.total(), 1, 1e-6);
}

TEST(LogitWeightsTest, NeverDrawsWhatHasNoWeight) {
  std::vector<float> row(3000, -INFINITY);
  row[1500] = 1;
  row[1501] = 1;
  const LogitWeights weights(row, WeightScale(1, 1));
  EXPECT_EQ(weights.draw(0), 1500);
  EXPECT_EQ(weights.draw(0.49), 1500);
  EXPECT_EQ(weights.draw(0.51), 1501);
  EXPECT_EQ(weights.draw(1 - 0x1p-53), 1501);
}

// The tokens that may be drawn, by the definition: min_p, top_k, top_p in this order, in double.
std::set<int32_t> allowed(const std::vector<float>& row, const SamplingParams& params) {
  std::vector<std::pair<double, int32_t>> list;
  const float best = *std::ranges::max_element(row);
  for (size_t i = 0; i < row.size(); ++i) {
    const double weight = std::exp((static_cast<double>(row[i]) - best) / params.temperature);
    if (weight >= params.min_p) list.emplace_back(-weight, static_cast<int32_t>(i));
  }
  std::ranges::sort(list);
  if (params.top_k > 0 && list.size() > static_cast<size_t>(params.top_k)) list.resize(static_cast<size_t>(params.top_k));
  double total = 0, mass = 0;
  for (const auto& [weight, token] : list) total -= weight;
  std::set<int32_t> tokens;
  for (const auto& [weight, token] : list) {
    if (!tokens.empty() && mass >= params.top_p * total) break;
    mass -= weight;
    tokens.insert(token);
  }
  return tokens;
}

TEST(LogitWeightsTest, CutsOfAWholeRowKeepWhatTheDefinitionKeeps) {
  struct Case {
    float temperature, top_p, min_p;
    int32_t top_k;
    float deviation;
  };
  for (const Case& c : {Case{1, 0.8f, 0, 0, 4}, Case{2, 0.97f, 0, 0, 1}, Case{0.7f, 1, 0.05f, 0, 3}, Case{1, 0.5f, 0.01f, 100, 1}, Case{1, 1, 0, 300, 0.1f},
                        Case{5, 0.999f, 0, 0, 0.1f}}) {
    const std::vector<float> row = random_row(2000, c.deviation, 7);
    const auto best = std::ranges::max_element(row);
    PositionReport report;
    report.max = *best;
    report.sum_exp = 1;
    report.top = {{static_cast<int32_t>(best - row.begin()), *best}};
    report.full = row;
    PositionReport* parts[] = {&report};
    const PositionLogits logits = join_positions(parts);
    Request request;
    request.prompt = {1};
    request.sampling.temperature = c.temperature;
    request.sampling.top_p = c.top_p;
    request.sampling.top_k = c.top_k;
    request.sampling.min_p = c.min_p;
    const std::set<int32_t> may = allowed(row, request.sampling);
    std::set<int32_t> drawn;
    for (uint64_t seed = 0; seed < 1000; ++seed) {
      request.sampling.seed = seed;
      drawn.insert(sample_token(logits, request, request.prompt).token);
    }
    for (const int32_t token : drawn) EXPECT_TRUE(may.contains(token)) << token << " of " << may.size();
    EXPECT_GE(drawn.size(), std::min<size_t>(may.size(), 300) / 3);
  }
}

}  // namespace
}  // namespace terrace
