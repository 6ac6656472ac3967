// Requests made up from a seed, a whole session on ranks as threads that runs them, and what came out compared, for tests.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "runtime/config.h"
#include "runtime/engine.h"
#include "runtime/request.h"

namespace terrace {

/// Random Q4_1 weights of a small model (3 layers, 6 query and 3 KV heads of 32, 320 tokens) on the CPU, one thread a rank; room for 40 sequences.
Config small_model_config();

constexpr int64_t kSmallModelPage = 20480;  // of it on one rank: 3 layers x (K, V) x 3 heads x 16 tokens x 32 x 2 bytes = 18,432, rounded up to 4,096

/// A disk tier of its own for a test: sets it in the configuration, and removes the files of all ranks at the end.
class TestDisk {
 public:
  TestDisk(Config& config, int64_t bytes);
  ~TestDisk();
  TestDisk(const TestDisk&) = delete;
  TestDisk& operator=(const TestDisk&) = delete;

  std::string file(int rank) const { return path_ + ".rank" + std::to_string(rank); }

 private:
  const std::string path_;
};

using Outputs = std::map<SequenceId, std::vector<SequenceEvent>>;  // ids count from 1 in the order of the requests

/// Submits all requests at once, steps until all have ended, and writes cached pages out to the disk tier where there is one. Fails the test when a rank fails.
Outputs run_engine(const Config& config, int ranks, const std::vector<Request>& requests, EngineStats* stats = nullptr);

/// Greedy, with 3 log-probabilities a token.
Request greedy_request(int seed, int prompt_tokens, int max_tokens, int vocab_size);

double cosine(std::span<const float> a, std::span<const float> b);

/// Tokens, log-probabilities and how it ended.
void expect_bit_equal(const std::vector<SequenceEvent>& a, const std::vector<SequenceEvent>& b, const std::string& what);
/// The same of each sequence of two runs of the same requests.
void expect_same(const Outputs& expected, const Outputs& actual, const std::string& what);

/// The sentence with which a session on one rank refuses to start; "" where it starts.
std::string session_refusal(const Config& config);

}  // namespace terrace
