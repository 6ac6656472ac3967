#include "tests/support/runtime/golden_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
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

}  // namespace

std::vector<Golden> read_goldens(const std::string& file) {
  std::vector<Golden> goldens;
  const json::value root = read_json(file);
  for (const json::value& item : root.at("prompts").as_array()) {
    goldens.push_back({std::string(item.at("name").as_string()), list<int32_t>(item.at("prompt_ids")), list<int32_t>(item.at("tokens")),
                       list<float>(item.at("logprobs")), list<float>(item.at("margins"))});
  }
  return goldens;
}

GoldenSequence read_perplexity(const std::string& file) {
  const json::value root = read_json(file);
  const json::value& sequence = root.at("sequences").as_array().front();
  return {list<int32_t>(sequence.at("ids")), list<float>(sequence.at("logprobs"))};
}

std::vector<GoldenEmbedding> read_embeddings(const std::string& file) {
  std::vector<GoldenEmbedding> goldens;
  const json::value root = read_json(file);
  for (const json::value& item : root.at("texts").as_array()) {
    goldens.push_back({std::string(item.at("name").as_string()), list<int32_t>(item.at("ids")), list<float>(item.at("mean")), list<float>(item.at("last"))});
  }
  return goldens;
}

Request scoring_request(const std::vector<int32_t>& ids) {
  Request request;
  request.prompt = ids;
  request.max_tokens = 0;
  request.prompt_logprobs = true;
  request.logprobs = 1;
  return request;
}

GoldenDifference score_goldens(const Config& config, const std::vector<Golden>& goldens) {
  std::vector<Request> requests;
  for (const Golden& golden : goldens) {
    std::vector<int32_t> ids = golden.prompt;
    ids.insert(ids.end(), golden.tokens.begin(), golden.tokens.end());
    requests.push_back(scoring_request(ids));
  }
  const Outputs outputs = run_engine(config, 1, requests);
  GoldenDifference result;
  double sum = 0;
  int same_top = 0;
  for (size_t g = 0; g < goldens.size(); ++g) {
    const Golden& golden = goldens[g];
    for (size_t i = 0; i < golden.tokens.size(); ++i) {
      const SequenceEvent& event = outputs.at(g + 1).at(golden.prompt.size() - 1 + i);
      EXPECT_EQ(event.token, golden.tokens[i]);
      const double difference = std::abs(static_cast<double>(event.logprob) - golden.logprobs[i]);
      sum += difference;
      result.worst = std::max(result.worst, difference);
      same_top += event.top.at(0).token == golden.tokens[i] ? 1 : 0;
      ++result.count;
    }
  }
  result.mean = sum / result.count;
  result.same_top = static_cast<double>(same_top) / result.count;
  fmt::print("mean |difference| {:.4f} nats, worst {:.3f}, top-1 {:.2f} % of {} steps\n", result.mean, result.worst, 100 * result.same_top, result.count);
  return result;
}

double perplexity_ratio(const Config& config, const GoldenSequence& sequence) {
  const Outputs outputs = run_engine(config, 1, {scoring_request(sequence.ids)});
  double found = 0, expected = 0;
  size_t count = 0;
  for (const SequenceEvent& event : outputs.at(1)) {
    if (event.token < 0) continue;
    found += event.logprob;
    expected += sequence.logprobs.at(count++);
  }
  EXPECT_EQ(count, sequence.logprobs.size());
  const auto tokens = static_cast<double>(count);
  fmt::print("perplexity {:.4f}, float32 {:.4f}: {:+.3f} %\n", std::exp(-found / tokens), std::exp(-expected / tokens),
             100 * (std::exp((expected - found) / tokens) - 1));
  return std::exp((expected - found) / tokens);
}

LeastSimilarity least_similarity(const Config& config, int ranks, const std::vector<GoldenEmbedding>& goldens) {
  std::vector<Request> requests;
  for (const GoldenEmbedding& golden : goldens) {
    for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
      Request& request = requests.emplace_back();
      request.prompt = golden.ids;
      request.max_tokens = 0;
      request.pooling = pooling;
    }
  }
  const Outputs outputs = run_engine(config, ranks, requests);
  LeastSimilarity least;
  for (size_t i = 0; i < goldens.size(); ++i) {
    least.mean = std::min(least.mean, cosine(outputs.at(2 * i + 1).back().pooled, goldens[i].mean));
    least.last = std::min(least.last, cosine(outputs.at(2 * i + 2).back().pooled, goldens[i].last));
  }
  return least;
}

void expect_golden_tokens(const Config& config, int ranks, const std::vector<Golden>& goldens, float margin, int32_t most_tokens) {
  std::vector<Request> requests;
  for (const Golden& golden : goldens) {
    Request request;
    request.prompt = golden.prompt;
    request.max_tokens = std::min(most_tokens, static_cast<int32_t>(golden.tokens.size()));
    request.sampling.temperature = 0;
    requests.push_back(request);
  }
  const Outputs outputs = run_engine(config, ranks, requests);
  for (size_t g = 0; g < goldens.size(); ++g) {
    for (size_t i = 0; i < outputs.at(g + 1).size(); ++i) {
      if (goldens[g].margins[i] < margin) break;  // from the first near-tie on, other tokens are as right
      ASSERT_EQ(outputs.at(g + 1).at(i).token, goldens[g].tokens[i]) << goldens[g].name << ", token " << i << ", " << ranks << " ranks";
    }
  }
}

}  // namespace terrace
