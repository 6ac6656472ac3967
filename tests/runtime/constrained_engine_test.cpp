// Sequences held to a constraint, by a whole engine over a small random model.
#include <gtest/gtest.h>

#include <stdexcept>

#include "runtime/sampling/token_constraint.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

constexpr int32_t kVocab = 320;
constexpr int32_t kEnd = 300;

Config small_config() {
  Config config = small_model_config();
  config.model.geometry.layers = 2;
  config.scheduler = {.max_tokens_per_step = 128, .max_sequences = 16};
  return config;
}

// After each token, those of the residue class (token + 1) mod 7 may come, and the text may end after `length` of them.
class ResidueConstraint : public TokenConstraint {
 public:
  explicit ResidueConstraint(int length, int fails_at = -1) : length_(length), fails_at_(fails_at) {}

  void fill(TokenMask& mask) override {
    mask.words.assign(kVocab / 32, 0);
    for (int32_t token = residue_; token < kEnd && count_ < length_; token += 7) mask.words[static_cast<size_t>(token) / 32] |= uint32_t{1} << (token % 32);
    mask.may_end = count_ >= length_;
    if (count_ == fails_at_) throw std::runtime_error("the constraint has lost its place");
  }
  void accept(int32_t token) override {
    EXPECT_EQ(token % 7, residue_);
    residue_ = (token + 1) % 7;
    ++count_;
  }

 private:
  int length_;
  int fails_at_;
  int count_ = 0;
  int32_t residue_ = 3;
};

Request constrained(int seed, int prompt, int length, float temperature = 1) {
  Request request = greedy_request(seed, prompt, 60, kVocab);
  request.sampling.temperature = temperature;
  request.sampling.seed = static_cast<uint64_t>(seed);
  request.stop_tokens = {kEnd};
  request.constraint = std::make_shared<ResidueConstraint>(length);
  return request;
}

void expect_held(const std::vector<SequenceEvent>& events, size_t length) {
  ASSERT_EQ(events.size(), length + 1);
  int32_t residue = 3;
  for (size_t i = 0; i < length; ++i) {
    EXPECT_EQ(events[i].token % 7, residue) << "token " << i;
    residue = (events[i].token + 1) % 7;
  }
  EXPECT_EQ(events.back().token, kEnd);
  EXPECT_EQ(events.back().finish, FinishReason::kStop);
}

TEST(ConstrainedEngineTest, EverySequenceKeepsToItsOwnConstraint) {
  for (const int ranks : {1, 2, 3}) {
    std::vector<Request> requests;
    for (int i = 0; i < 12; ++i) requests.push_back(constrained(i, 4 + 9 * i, 1 + 3 * i, i % 3 == 0 ? 0.0f : 1.0f));
    const Outputs outputs = run_engine(small_config(), ranks, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      SCOPED_TRACE(i);
      expect_held(outputs.at(i + 1), 1 + 3 * i);
    }
  }
}

TEST(ConstrainedEngineTest, OtherSequencesOfTheBatchAreAsWithoutIt) {
  const Request free = greedy_request(5, 40, 20, kVocab);
  const Outputs alone = run_engine(small_config(), 1, {free});
  const Outputs beside = run_engine(small_config(), 1, {free, constrained(1, 10, 30)});
  expect_bit_equal(beside.at(1), alone.at(1), "beside a constrained one");
}

TEST(ConstrainedEngineTest, APreemptedSequenceKeepsItsPlaceInTheConstraint) {
  const auto requests = [] {
    std::vector<Request> all;
    for (int i = 0; i < 6; ++i) all.push_back(constrained(i, 30 + 7 * i, 40));
    return all;
  };
  EngineStats roomy, tight;
  const Outputs calm = run_engine(small_config(), 1, requests(), &roomy);
  Config config = small_config();
  config.cache.device = {int64_t{16384} * 8, 0};  // 2 layers x (K, V) x 3 heads x 16 tokens x 32 x 2 bytes = 12,288, rounded up
  const Outputs pressed = run_engine(config, 1, requests(), &tight);
  EXPECT_EQ(roomy.preemptions, 0u);
  EXPECT_GT(tight.preemptions, 0u);
  for (const auto& [id, events] : calm) {
    expect_held(events, 40);
    expect_bit_equal(pressed.at(id), events, "sequence " + std::to_string(id));
  }
}

TEST(ConstrainedEngineTest, ASequenceWithoutEndTokensEndsWhereNothingCanFollow) {
  Request request = constrained(1, 10, 5);
  request.stop_tokens.clear();
  const Outputs outputs = run_engine(small_config(), 1, {request});
  ASSERT_EQ(outputs.at(1).size(), 6u);
  EXPECT_EQ(outputs.at(1).back().token, -1);
  EXPECT_EQ(outputs.at(1).back().finish, FinishReason::kStop);
}

TEST(ConstrainedEngineTest, MaxTokensCutsAConstrainedTextToo) {
  Request request = constrained(1, 10, 50);
  request.max_tokens = 4;
  const Outputs outputs = run_engine(small_config(), 1, {request});
  ASSERT_EQ(outputs.at(1).size(), 4u);
  EXPECT_EQ(outputs.at(1).back().finish, FinishReason::kLength);
}

TEST(ConstrainedEngineTest, AConstraintThatFailsEndsItsSequenceAlone) {
  Request failing = constrained(1, 10, 20);
  failing.constraint = std::make_shared<ResidueConstraint>(20, 6);
  const Outputs outputs = run_engine(small_config(), 2, {failing, constrained(2, 10, 20)});
  EXPECT_EQ(outputs.at(1).back().finish, FinishReason::kError);
  EXPECT_EQ(outputs.at(1).back().error, "the constraint has lost its place");
  expect_held(outputs.at(2), 20);
}

}  // namespace
}  // namespace terrace
