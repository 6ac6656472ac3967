// A model as Gemma 3, where every sixth layer sees everything and the others have a window: what a sequence takes of the pool, and LAW 4 wherever its pages were.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "kernels/page_layout.h"
#include "tests/support/runtime/engine_run.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

constexpr int32_t kWindow = 40, kPageTokens = 8, kGroups = 6;
constexpr int32_t kVocabulary = 256;  // token ids of the requests

// Of a rank: 2 of 12 layers.
int64_t page_bytes(int ranks) { return static_cast<int64_t>(make_page_layout(KvType::kF16, kPageTokens, 2, 3 / ranks + (ranks == 2), 32).page_stride); }

class LayerGroupsEngineTest : public testing::Test {
 protected:
  LayerGroupsEngineTest() : path_((std::filesystem::path(testing::TempDir()) / fmt::format("layer_groups_engine_test.{}.gguf", getpid())).string()) {
    const TinyVocabulary vocabulary = tiny_bpe("smollm");
    TinyModelOptions model = {.architecture = "gemma3", .layers = 12, .hidden_size = 96, .heads = 6, .kv_heads = 3, .ffn_size = 128, .context_length = 1024,
                              .window = kWindow, .format = DType::kQ8_0, .vocabulary = &vocabulary};
    model.vocab_size = static_cast<int32_t>(vocabulary.tokens.size());
    std::ofstream(path_, std::ios::binary) << make_tiny_model(model).build();
  }
  ~LayerGroupsEngineTest() override { std::filesystem::remove(path_); }

  /// With a pool of so many pages on the device.
  Config config(int64_t pages, int ranks = 1) const {
    Config config = small_model_config();
    config.model.load = "file";
    config.model.path = path_;
    config.cache.page_tokens = kPageTokens;
    config.cache.device = {page_bytes(ranks) * pages, 0};
    config.cache.fetch = "always";
    config.scheduler = {.max_tokens_per_step = 16, .max_sequences = 4};
    return config;
  }
  /// Each sequence with nothing of any other's.
  Outputs computed(const std::vector<Request>& requests, int ranks = 1) const {
    Config alone = config(2000, ranks);
    alone.cache.prefixes = false;
    alone.scheduler = {.max_tokens_per_step = 64, .max_sequences = 1};
    return run_engine(alone, ranks, requests);
  }

 private:
  const std::string path_;
};

std::vector<Request> questions(int documents, int each) {
  std::vector<Request> requests;
  for (int question = 0; question < each; ++question) {
    for (int document = 0; document < documents; ++document) {
      Request& request = requests.emplace_back(greedy_request(document, 120 + 17 * document, 6, kVocabulary));
      const Request tail = greedy_request(100 + question, 10, 6, kVocabulary);
      request.prompt.insert(request.prompt.end(), tail.prompt.begin(), tail.prompt.end());
    }
  }
  return requests;
}

// 800 positions are 100 pages of each group: 600 frames if all were kept, of which the pool has a fourth.
TEST_F(LayerGroupsEngineTest, OutgrowsAPoolThatCouldNotHoldAllLayersOn1And2And3Ranks) {
  const std::vector<Request> requests = {greedy_request(1, 700, 100, kVocabulary)};
  for (const int ranks : {1, 2, 3}) {
    EngineStats stats;
    const Outputs small = run_engine(config(150, ranks), ranks, requests, &stats);
    ASSERT_EQ(small.at(1).size(), 100u);
    EXPECT_EQ(stats.preemptions, 0u);
    const Outputs large = run_engine(config(700, ranks), ranks, requests);
    expect_same(large, small, fmt::format("{} ranks", ranks));
    if (ranks == 1) expect_same(computed(requests), small, "other chunks");
  }
}

TEST_F(LayerGroupsEngineTest, PagesOfEveryTierGiveEqualBitsOn1And2And3Ranks) {
  const std::vector<Request> requests = questions(4, 3);
  for (const int ranks : {1, 2, 3}) {
    const Outputs expected = computed(requests, ranks);
    EngineStats on_device, first, second;
    expect_same(expected, run_engine(config(2000, ranks), ranks, requests, &on_device), fmt::format("device, {} ranks", ranks));
    EXPECT_GT(on_device.sources.device, 8 * 120) << ranks;
    Config tiers = config(130, ranks);
    tiers.scheduler.max_sequences = 1;
    tiers.cache.host = {page_bytes(ranks) * 250, 0};
    const TestDisk disk(tiers, page_bytes(ranks) * 1000);
    expect_same(expected, run_engine(tiers, ranks, requests, &first), fmt::format("host, {} ranks", ranks));
    EXPECT_GT(first.sources.host + first.sources.disk, 0) << ranks;
    expect_same(expected, run_engine(tiers, ranks, requests, &second), fmt::format("disk, {} ranks", ranks));
    EXPECT_GT(second.sources.disk, 0) << ranks;
    EXPECT_EQ(second.tiers.checksum_failures, 0u);
  }
}

TEST_F(LayerGroupsEngineTest, PreemptedSequencesResumeWithEqualBits) {
  std::vector<Request> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(greedy_request(i, 60 + 7 * i, 160, kVocabulary));
  const Outputs expected = computed(requests);
  for (const int64_t host_pages : {0, 400}) {
    Config pressed = config(110);
    pressed.cache.host = {page_bytes(1) * host_pages, 0};
    EngineStats stats;
    expect_same(expected, run_engine(pressed, 1, requests, &stats), fmt::format("{} pages on the host", host_pages));
    EXPECT_GT(stats.preemptions, 0u) << host_pages;
  }
}

// The device's pool holds less than one sequence in sight of its windows.
TEST_F(LayerGroupsEngineTest, PagesReadInPlaceGiveEqualBitsOn1And2And3Ranks) {
  std::vector<Request> requests = {greedy_request(1, 500, 30, kVocabulary), greedy_request(2, 300, 30, kVocabulary)};
  requests.push_back(requests.front());
  for (const int ranks : {1, 2, 3}) {
    Config in_place = config(40, ranks);
    in_place.cache.host = {page_bytes(ranks) * 600, 0};
    in_place.cache.in_place = true;
    EngineStats stats;
    expect_same(computed(requests, ranks), run_engine(in_place, ranks, requests, &stats), fmt::format("{} ranks", ranks));
    EXPECT_GT(stats.sources.host, 400) << ranks;
  }
}

// Without the cache all positions are computed again for every token, so none falls out of sight.
TEST_F(LayerGroupsEngineTest, WithoutTheCacheTheTokensAreTheSame) {
  const std::vector<Request> requests = {greedy_request(1, 70, 5, kVocabulary)};
  Config without = config(200);
  without.cache.enabled = false;
  expect_same(computed(requests), run_engine(without, 1, requests), "recomputed");
}

}  // namespace
}  // namespace terrace
