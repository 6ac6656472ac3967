// The real model against transformers in float32 on the dequantised weights (tests/golden/README.md): what the shipped defaults lose.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

namespace json = boost::json;

json::value read_json(const std::string& name) {
  std::ifstream in(std::string(TERRACE_SOURCE_DIR) + "/tests/golden/" + name);
  return json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

template <typename T>
std::vector<T> list(const json::value& value) {
  std::vector<T> out;
  for (const json::value& item : value.as_array()) out.push_back(item.to_number<T>());
  return out;
}

struct Golden {
  std::string name;
  std::vector<int32_t> prompt;
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<float> margins;
};

class GoldenModelTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* path = std::getenv("TERRACE_TEST_MODEL");
    if (path == nullptr || *path == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL is unset: no model file";
    config_.model.path = path;
    config_.cache.device = {256 << 20, 0};
    config_.scheduler.max_sequences = 32;
    const json::value file = read_json("generation_smollm2.json");
    for (const json::value& item : file.at("prompts").as_array()) {
      goldens_.push_back({std::string(item.at("name").as_string()), list<int32_t>(item.at("prompt_ids")), list<int32_t>(item.at("tokens")),
                          list<float>(item.at("logprobs")), list<float>(item.at("margins"))});
    }
  }

  // The golden continuation scored token by token: prompt log-probabilities of prompt + tokens.
  static Request scoring_request(const std::vector<int32_t>& ids) {
    Request request;
    request.prompt = ids;
    request.max_tokens = 0;
    request.prompt_logprobs = true;
    request.logprobs = 1;
    return request;
  }

  Config config_;
  std::vector<Golden> goldens_;
};

TEST_F(GoldenModelTest, LogProbabilitiesStayNearFloat32OnTheGoldenTokens) {
  std::vector<Request> requests;
  for (const Golden& golden : goldens_) {
    std::vector<int32_t> ids = golden.prompt;
    ids.insert(ids.end(), golden.tokens.begin(), golden.tokens.end());
    requests.push_back(scoring_request(ids));
  }
  const Outputs outputs = run_engine(config_, 1, requests);
  double sum = 0, worst = 0;
  int count = 0, same_top = 0;
  for (size_t g = 0; g < goldens_.size(); ++g) {
    const Golden& golden = goldens_[g];
    const auto& events = outputs.at(g + 1);
    for (size_t i = 0; i < golden.tokens.size(); ++i) {
      const SequenceEvent& event = events.at(golden.prompt.size() - 1 + i);
      ASSERT_EQ(event.token, golden.tokens[i]);
      const double difference = std::abs(static_cast<double>(event.logprob) - golden.logprobs[i]);
      sum += difference;
      worst = std::max(worst, difference);
      same_top += event.top.at(0).token == golden.tokens[i] ? 1 : 0;
      ++count;
    }
  }
  fmt::print("mean |difference| {:.4f} nats, worst {:.3f}, top-1 {:.2f} % of {} steps\n", sum / count, worst, 100.0 * same_top / count, count);
  EXPECT_LE(sum / count, 0.025);  // the bar is 0.05; llama.cpp on this file: 0.056
  EXPECT_GE(100.0 * same_top / count, 97.0);
}

TEST_F(GoldenModelTest, PerplexityStaysWithinThreePerMille) {
  const json::value golden = read_json("perplexity_smollm2.json");
  const json::value& sequence = golden.at("sequences").as_array().front();
  const Outputs outputs = run_engine(config_, 1, {scoring_request(list<int32_t>(sequence.at("ids")))});
  double sum = 0;
  int count = 0;
  for (const SequenceEvent& event : outputs.at(1)) {
    if (event.token < 0) continue;
    sum += event.logprob;
    ++count;
  }
  const double perplexity = std::exp(-sum / count);
  const double expected = golden.at("perplexity").to_number<double>();
  fmt::print("perplexity {:.4f}, float32 {:.4f}: {:+.3f} %\n", perplexity, expected, 100 * (perplexity / expected - 1));
  EXPECT_NEAR(perplexity / expected, 1.0, 0.003);
}

TEST_F(GoldenModelTest, GreedyTokensAgreeOn1And2And3And9Ranks) {
  std::vector<Request> requests;
  for (const Golden& golden : goldens_) {
    Request request;
    request.prompt = golden.prompt;
    request.max_tokens = static_cast<int32_t>(golden.tokens.size());
    request.sampling.temperature = 0;
    requests.push_back(request);
  }
  std::vector<Request> few(requests.begin(), requests.begin() + 3);
  for (Request& request : few) request.max_tokens = 24;  // ranks outnumber the cores: keep it short
  config_.parallel.threads = 1;
  for (const int ranks : {1, 2, 3, 9}) {
    const Outputs outputs = run_engine(config_, ranks, ranks == 1 ? requests : few);
    for (size_t g = 0; g < outputs.size(); ++g) {
      for (size_t i = 0; i < outputs.at(g + 1).size(); ++i) {
        if (goldens_[g].margins[i] < 0.5f) break;  // from the first near-tie on, other tokens are as right
        ASSERT_EQ(outputs.at(g + 1).at(i).token, goldens_[g].tokens[i]) << goldens_[g].name << ", token " << i << ", " << ranks << " ranks";
      }
    }
  }
}

}  // namespace
}  // namespace terrace
