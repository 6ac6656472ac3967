// Requests with pooling through the whole engine: against hidden states computed another way, LAW 4, and what the cache may give them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "comm/group.h"
#include "kernels/backend.h"
#include "kernels/page_layout.h"
#include "runtime/model/decoder.h"
#include "runtime/model/weights.h"
#include "runtime/session.h"
#include "tests/support/runtime/engine_run.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

Request pooled_request(int seed, int tokens, Pooling pooling, int vocab_size = 320) {
  Request request = greedy_request(seed, tokens, 0, vocab_size);
  request.logprobs = std::nullopt;
  request.pooling = pooling;
  return request;
}

// Of a sequence that gave nothing else.
std::vector<float> vector_of(const std::vector<SequenceEvent>& events) {
  EXPECT_EQ(events.size(), 1u);
  EXPECT_EQ(events.back().finish, FinishReason::kStop);
  EXPECT_LT(events.back().token, 0);
  return events.back().pooled;
}

std::vector<float> pooled_alone(const Config& config, const Request& request, int ranks = 1) { return vector_of(run_engine(config, ranks, {request}).at(1)); }

// A model whose output head begins with the identity: its first logits are its hidden states. Float weights, so that products with ones and zeros are exact.
constexpr int kHidden = 64;

std::string model_with_identity_head(const TinyVocabulary& vocabulary) {
  TinyModelOptions options = {.layers = 2, .hidden_size = kHidden, .tied_head = true, .vocabulary = &vocabulary};
  options.vocab_size = static_cast<int32_t>(vocabulary.tokens.size());
  GgufBuilder builder = make_tiny_model(options);
  std::vector<float> head(vocabulary.tokens.size() * kHidden, 0.0f);
  for (size_t i = 0; i < kHidden; ++i) head[i * (kHidden + 1)] = 1.0f;
  builder.add_f32_tensor("output.weight", {options.vocab_size, kHidden}, head);
  return builder.build();
}

// All hidden states of a prompt, [tokens, kHidden], as the logits of one forward() over the whole of it: no scheduler, plan or worker.
std::vector<float> hidden_states_by_logits(const std::string& bytes, const std::vector<int32_t>& prompt) {
  std::vector<float> states;
  run_ranks({.spin = false}, [&](RankGroup& group) {
    const GgufFile file = GgufFile::parse(std::as_bytes(std::span(bytes)), "identity.gguf");
    const ModelConfig model = read_model_config(file);
    const Shard shard = make_shard(model, 0, 1);
    const auto backend = make_backend("cpu", BackendOptions());
    const auto count = static_cast<int32_t>(prompt.size());
    Decoder decoder(model, shard, load_weights(file, model, shard, *backend, {}), *backend, *group.collective, count);
    const PageLayout layout = make_page_layout(KvType::kF16, 16, model.num_layers, model.num_kv_heads, model.head_dim);
    std::vector<uint32_t> frames;
    std::vector<int32_t> positions, kv_page;
    for (int32_t p = 0; p < count; ++p) {
      positions.push_back(p);
      kv_page.push_back(p / 16);
      if (p % 16 == 0) frames.push_back(static_cast<uint32_t>(p / 16));
    }
    const Buffer pages = backend->allocate(frames.size() * layout.page_stride);
    const std::vector<AttentionRun> runs = {{0, count, 0, 0}};
    decoder.forward({prompt, positions, kv_page, runs, frames}, {pages.data(), layout});
    for (int32_t p = 0; p < count; ++p) {
      const int32_t row = p;
      const MatrixView logits = decoder.logits({&row, 1});
      states.insert(states.end(), logits.row(0), logits.row(0) + kHidden);
    }
    return 0;
  });
  return states;
}

TEST(EmbeddingEngineTest, IsTheMeanOrTheLastOfTheHiddenStates) {
  const TinyVocabulary vocabulary = tiny_bpe("smollm");
  const std::string bytes = model_with_identity_head(vocabulary);
  const TemporaryFolder folder;
  Config config = small_model_config();
  config.model.load = "file";
  config.model.path = folder.write("identity.gguf", bytes);
  config.scheduler.max_tokens_per_step = 50;
  const Request mean = pooled_request(2, 120, Pooling::kMean, 200);
  const std::vector<float> states = hidden_states_by_logits(bytes, mean.prompt);
  ASSERT_EQ(states.size(), 120u * kHidden);
  const std::vector<float> found_mean = pooled_alone(config, mean);
  const std::vector<float> found_last = pooled_alone(config, pooled_request(2, 120, Pooling::kLast, 200));
  ASSERT_EQ(found_mean.size(), size_t{kHidden});
  ASSERT_EQ(found_last.size(), size_t{kHidden});
  for (size_t i = 0; i < kHidden; ++i) {
    double sum = 0;
    for (size_t p = 120; p-- > 0;) sum += double{states[p * kHidden + i]};  // from the end
    EXPECT_NEAR(found_mean[i], sum / 120, 1e-6);
    EXPECT_EQ(found_last[i], states[119 * kHidden + i]);
  }
}

TEST(EmbeddingEngineTest, AloneOrAmongGeneratingSequencesGivesEqualBits) {
  std::vector<Request> requests;
  for (int i = 0; i < 16; ++i) {
    const int tokens = 1 + i * 23;
    requests.push_back(i % 2 == 0 ? pooled_request(i, tokens, i % 4 == 0 ? Pooling::kMean : Pooling::kLast) : greedy_request(i, tokens, 9, 320));
  }
  const Outputs together = run_engine(small_model_config(), 1, requests);
  for (size_t i = 0; i < requests.size(); ++i) {
    const Outputs alone = run_engine(small_model_config(), 1, {requests[i]});
    if (i % 2 == 0) {
      EXPECT_EQ(vector_of(together.at(i + 1)), vector_of(alone.at(1))) << i;
      EXPECT_EQ(vector_of(alone.at(1)).size(), 96u);
    } else {
      expect_bit_equal(together.at(i + 1), alone.at(1), fmt::format("sequence {}", i));
    }
  }
}

TEST(EmbeddingEngineTest, HowTheTextIsChunkedDoesNotMatter) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) {
    Config config = small_model_config();
    const Request request = pooled_request(3, 400, pooling);
    config.scheduler.max_tokens_per_step = 512;
    const std::vector<float> whole = pooled_alone(config, request);
    config.scheduler.max_sequences = 1;
    for (const int chunk : {1, 16, 100, 399}) {
      config.scheduler.max_tokens_per_step = chunk;
      EXPECT_EQ(pooled_alone(config, request), whole) << "chunks of " << chunk;
    }
    config.cache.enabled = false;
    EXPECT_EQ(pooled_alone(config, request), whole) << "without cache";
  }
}

// 8 frames: texts of 4 to 5 pages that take a step for each token, beside an answer that grows as fast.
TEST(EmbeddingEngineTest, PreemptedAndBegunAgainGivesEqualBits) {
  std::vector<Request> requests;
  requests.push_back(greedy_request(0, 10, 110, 320));
  for (int i = 1; i < 5; ++i) requests.push_back(pooled_request(i, 56 + 4 * i, i % 2 == 1 ? Pooling::kMean : Pooling::kLast));
  const Outputs calm = run_engine(small_model_config(), 1, requests);
  Config config = small_model_config();
  config.cache.device = {20480 * 8, 0};
  config.scheduler = {.max_tokens_per_step = 2, .max_sequences = 2};
  for (const bool prefixes : {true, false}) {
    config.cache.prefixes = prefixes;
    const Outputs pressed = run_engine(config, 1, requests);
    int64_t again = 0;  // tokens of means that were computed a second time
    for (size_t i = 1; i < requests.size(); ++i) {
      EXPECT_EQ(vector_of(pressed.at(i + 1)), vector_of(calm.at(i + 1))) << i << ", prefixes " << prefixes;
      if (requests[i].pooling == Pooling::kMean) again += pressed.at(i + 1).back().sources.computed - static_cast<int64_t>(requests[i].prompt.size());
    }
    EXPECT_GT(again, 0);
  }
}

// The last token's state depends on pages alone; a mean wants every token's, which no cache has.
TEST(EmbeddingEngineTest, OnlyTheLastTokensStateTakesPagesFromTheCache) {
  Config config = small_model_config();
  config.scheduler.max_sequences = 1;
  std::vector<Request> requests = {greedy_request(4, 100, 1, 320)};
  for (const Pooling pooling : {Pooling::kMean, Pooling::kLast}) requests.push_back(pooled_request(4, 100, pooling));
  const Outputs outputs = run_engine(config, 1, requests);
  EXPECT_EQ(outputs.at(2).back().sources.cached(), 0);
  EXPECT_EQ(outputs.at(2).back().sources.computed, 100);
  EXPECT_GE(outputs.at(3).back().sources.cached(), 96);
  EXPECT_EQ(vector_of(outputs.at(3)), pooled_alone(config, requests[2]));
  // And what a mean leaves others take.
  const Outputs reversed = run_engine(config, 1, {requests[1], requests[0]});
  EXPECT_GE(reversed.at(2).front().sources.cached(), 96);
  expect_bit_equal(reversed.at(2), outputs.at(1), "after a mean");
}

TEST(EmbeddingEngineTest, RanksAgree) {
  const std::vector<Request> requests = {pooled_request(1, 90, Pooling::kMean), pooled_request(1, 90, Pooling::kLast), pooled_request(2, 1, Pooling::kMean)};
  const Outputs one = run_engine(small_model_config(), 1, requests);
  for (const int ranks : {2, 3}) {
    const Outputs many = run_engine(small_model_config(), ranks, requests);
    for (const auto& [id, events] : one) {
      const double similarity = cosine(vector_of(many.at(id)), vector_of(events));
      EXPECT_GT(similarity, 0.9995) << ranks << " ranks, sequence " << id;
    }
    EXPECT_EQ(pooled_alone(small_model_config(), requests[0], ranks), vector_of(many.at(1))) << ranks << " ranks, alone";
  }
}

TEST(EmbeddingEngineTest, ATextMayFillTheContextOrThePoolAndNoMore) {
  Config config = small_model_config();
  config.model.geometry.context_length = 128;
  EXPECT_EQ(pooled_alone(config, pooled_request(1, 128, Pooling::kMean)).size(), 96u);
  EXPECT_NE(run_engine(config, 1, {pooled_request(1, 129, Pooling::kMean)}).at(1).back().error.find("context of 128 tokens"), std::string::npos);
  config.cache.device = {20480 * 3, 0};  // 48 positions
  EXPECT_EQ(pooled_alone(config, pooled_request(1, 48, Pooling::kLast)).size(), 96u);
  const SequenceEvent refused = run_engine(config, 1, {pooled_request(1, 49, Pooling::kLast)}).at(1).back();
  EXPECT_EQ(refused.finish, FinishReason::kError);
  EXPECT_EQ(refused.error, "the text's 49 tokens need 4 KV pages, but the pool has 3: raise cache.device or give a shorter text");
}

TEST(EmbeddingEngineTest, CancelledInTheMiddleFreesItsPages) {
  Config config = small_model_config();
  config.scheduler.max_tokens_per_step = 40;
  run_ranks({.spin = false}, [&](RankGroup& group) {
    Session session(config, group, {.announce = false, .load_progress = {}});
    Engine& engine = session.engine();
    const SequenceId id = engine.submit(pooled_request(1, 300, Pooling::kMean));
    EXPECT_TRUE(engine.step().empty());
    engine.cancel(id);
    const std::vector<SequenceEvent> events = engine.step();
    EXPECT_EQ(events.size(), 1u);
    EXPECT_EQ(events.back().finish, FinishReason::kCancelled);
    EXPECT_FALSE(engine.busy());
    engine.stop();
    return 0;
  });
}

}  // namespace
}  // namespace terrace
