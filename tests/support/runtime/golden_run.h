// The golden files of tests/golden as values, and the engine's log-probabilities beside them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "runtime/request.h"

namespace terrace {

struct Golden {
  std::string name;
  std::vector<int32_t> prompt;
  std::vector<int32_t> tokens;   // greedy
  std::vector<float> logprobs;   // [tokens]
  std::vector<float> margins;    // [tokens] top minus second
};

std::vector<Golden> read_goldens(const std::string& file);

struct GoldenSequence {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;  // [ids - 1] of ids[1], ids[2], ...
};
GoldenSequence read_perplexity(const std::string& file);

struct GoldenEmbedding {
  std::string name;
  std::vector<int32_t> ids;
  std::vector<float> mean, last;  // [hidden_size], length 1
};
std::vector<GoldenEmbedding> read_embeddings(const std::string& file);

/// Asks for the log-probability of each of `ids` but the first.
Request scoring_request(const std::vector<int32_t>& ids);

/// How far the engine's log-probabilities of golden tokens are from the golden ones, in nats.
struct GoldenDifference {
  double mean = 0;
  double worst = 0;
  double same_top = 0;  // share of steps whose most likely token is the golden one
  int count = 0;
};
GoldenDifference score_goldens(const Config& config, const std::vector<Golden>& goldens);

/// The engine's perplexity of `sequence` over the golden one.
double perplexity_ratio(const Config& config, const GoldenSequence& sequence);

/// The least cosine similarity of the engine's pooled hidden states to the golden ones.
struct LeastSimilarity {
  double mean = 1;
  double last = 1;
};
LeastSimilarity least_similarity(const Config& config, int ranks, const std::vector<GoldenEmbedding>& goldens);

/// Greedy generation gives the golden tokens, up to the first whose margin (nats) is below `margin`; `most_tokens` of each at most.
void expect_golden_tokens(const Config& config, int ranks, const std::vector<Golden>& goldens, float margin, int32_t most_tokens);

}  // namespace terrace
