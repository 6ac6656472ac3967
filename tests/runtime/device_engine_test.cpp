// The whole engine on a device: the CPU's tokens for every number of ranks, and in `numerics: invariant` equal bits whatever the batch (LAW 4). The device
// is a real one or the simulator (tests/cudasim), as TERRACE_CUDA_MODULE says; without it these tests are skipped.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "comm/group.h"
#include "kernels/page_layout.h"
#include "runtime/engine.h"
#include "runtime/session.h"
#include "tests/support/runtime/engine_run.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

class DeviceEngineTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TERRACE_CUDA_MODULE") == nullptr) GTEST_SKIP() << "no device: TERRACE_CUDA_MODULE names no module";
  }
};

// 9 query heads over 3 KV heads: 2 ranks cut a KV group. Small, since a simulated product costs a thousand times a real one.
Config device_config(DType format = DType::kF16) {
  Config config;
  config.model.load = "dummy";
  config.model.geometry = {.layers = 1, .hidden_size = 128, .heads = 9, .kv_heads = 3, .head_dim = 64, .ffn_size = 128, .vocab_size = 256,
                           .context_length = 512, .rope_base = 10000, .format = format};
  config.backend = "cuda";
  config.numerics = "invariant";
  config.parallel.threads = 1;
  config.cache.device = {1 << 20, 0};
  config.scheduler = {.max_tokens_per_step = 64, .max_sequences = 8};
  return config;
}

Request make_request(int seed, int prompt, int max_tokens) { return greedy_request(seed, prompt, max_tokens, 256); }

// Until a token whose rival is so close that rounding may choose either.
void expect_same_tokens(const Outputs& found, const Outputs& wanted, float margin, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (const auto& [id, events] : wanted) {
    ASSERT_EQ(found.at(id).size(), events.size()) << what;
    for (size_t i = 0; i < events.size(); ++i) {
      if (events[i].top.size() >= 2 && events[i].top[0].logprob - events[i].top[1].logprob < margin) break;
      ASSERT_EQ(found.at(id)[i].token, events[i].token) << what << ", sequence " << id << ", token " << i;
      EXPECT_NEAR(found.at(id)[i].logprob, events[i].logprob, margin) << what << ", sequence " << id << ", token " << i;
    }
  }
}

/// Of pages against the CPU's: what rounding makes of a value between two levels of 4 bits is a whole level.
float page_margin(KvFormat format) { return format.v == KvType::kQ4 ? 0.06f : 0.02f; }

std::vector<Request> some_requests() { return {make_request(1, 21, 3), make_request(2, 5, 4)}; }

TEST_F(DeviceEngineTest, GivesTheTokensOfTheCpuOnAnyNumberOfRanks) {
  struct Case {
    DType format;
    float margin;  // the CPU quantises the inputs of Q4_1 and Q8_0, the device rounds them to f16
  };
  for (const auto& [format, margin] : {Case{DType::kF16, 0.02f}, Case{DType::kQ4_1, 0.1f}}) {
    Config config = device_config(format);
    config.backend = "cpu";
    const Outputs wanted = run_engine(config, 1, some_requests());
    for (const char* numerics : {"fast", "invariant"}) {
      for (const int ranks : {1, 2, 3}) {
        if ((format == DType::kF16) == (ranks == 2)) continue;  // F16 on 1 and 3, Q4_1 on 2
        config = device_config(format);
        config.numerics = numerics;
        expect_same_tokens(run_engine(config, ranks, some_requests()), wanted, margin, std::string(numerics) + ", ranks " + std::to_string(ranks));
      }
    }
  }
}

TEST_F(DeviceEngineTest, AloneOrInABatchGivesEqualBits) {
  for (const int ranks : {1, 3}) {  // three parts: NCCL's own order would depend on the message
    const std::vector<Request> requests = some_requests();
    const Outputs together = run_engine(device_config(), ranks, requests);
    for (size_t i = 0; i < requests.size(); ++i) {
      expect_bit_equal(run_engine(device_config(), ranks, {requests[i]}).at(1), together.at(i + 1), "sequence " + std::to_string(i));
    }
  }
}

TEST_F(DeviceEngineTest, HowThePromptIsChunkedDoesNotMatter) {
  Config config = device_config();
  const Outputs whole = run_engine(config, 1, {make_request(3, 36, 2)});
  for (const int chunk : {7, 20}) {
    config.scheduler = {.max_tokens_per_step = chunk, .max_sequences = 1};
    expect_bit_equal(run_engine(config, 1, {make_request(3, 36, 2)}).at(1), whole.at(1), "chunks of " + std::to_string(chunk));
  }
}

TEST_F(DeviceEngineTest, ReplayedStepsGiveTheBitsOfPlainOnes) {
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    const Outputs replayed = run_engine(config, ranks, some_requests());
    config.graphs = false;
    const Outputs plain = run_engine(config, ranks, some_requests());
    for (const auto& [id, events] : plain) expect_bit_equal(replayed.at(id), events, "sequence " + std::to_string(id));
  }
}

TEST_F(DeviceEngineTest, PreemptedAndResumedGivesEqualBits) {
  const std::vector<Request> requests = {make_request(1, 10, 9), make_request(2, 12, 8)};
  const Outputs calm = run_engine(device_config(), 1, requests);
  Config config = device_config();
  const int64_t page = 12288;  // 1 layer x (K, V) x 3 heads x 16 tokens x 64 x 2 bytes
  config.cache.device = {page * 3, 0};
  EngineStats stats;
  const Outputs pressed = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.preemptions, 0u);
  for (const auto& [id, events] : calm) expect_bit_equal(pressed.at(id), events, "sequence " + std::to_string(id));
}

// Pages come back from the host's pinned pool and, in a second run, from disk, on the copy streams beside steps.
TEST_F(DeviceEngineTest, PagesOfColderTiersGiveEqualBitsOn1And2Ranks) {
  std::vector<Request> requests;
  for (const int seed : {1, 2, 3, 1, 2}) requests.push_back(make_request(seed, 50 + 3 * seed, 2));
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    config.scheduler.max_sequences = 1;
    config.cache.prefixes = false;
    const Outputs computed = run_engine(config, ranks, requests);
    const int64_t page = ranks == 1 ? 12288 : 8192;  // of 3 or 2 KV heads
    config.cache.prefixes = true;
    config.cache.fetch = "always";
    config.cache.device = {page * 5, 0};
    config.cache.host = {page * 8, 0};
    const TestDisk disk(config, page * 30);
    EngineStats first, second;
    const Outputs fetched = run_engine(config, ranks, requests, &first);
    const Outputs again = run_engine(config, ranks, requests, &second);
    EXPECT_GT(first.sources.host + first.sources.disk, 0) << ranks;  // how many depends on how fast pages move beside the steps
    EXPECT_GT(second.sources.disk, 0) << ranks;
    for (const auto& [id, events] : computed) {
      expect_bit_equal(fetched.at(id), events, fmt::format("{} ranks, sequence {}", ranks, id));
      expect_bit_equal(again.at(id), events, fmt::format("{} ranks, second run, sequence {}", ranks, id));
    }
  }
}

// From the disk all of a prompt's full pages come rounded, whatever else happens when: so two runs are equal in every bit.
TEST_F(DeviceEngineTest, PagesStoredIn8BitsComeBackAlikeOn1And2Ranks) {
  std::vector<Request> requests;
  for (const int seed : {1, 2, 3}) requests.push_back(make_request(seed, 50 + 3 * seed, 2));
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    const int64_t page = ranks == 1 ? 12288 : 8192;  // as they are on the device
    config.cache.fetch = "always";
    config.cache.device = {page * 40, 0};
    config.cache.host = {page * 30, 0};
    config.cache.host_format = "Q8";
    const TestDisk disk(config, page * 40);
    EngineStats first, second;
    const Outputs computed = run_engine(config, ranks, requests);
    const Outputs fetched = run_engine(config, ranks, requests, &first);
    const Outputs again = run_engine(config, ranks, requests, &second);
    EXPECT_EQ(first.sources.disk, 3 * 48) << ranks;  // all full pages
    EXPECT_EQ(second.sources.disk, 3 * 48) << ranks;
    EXPECT_EQ(first.tiers.checksum_failures + second.tiers.checksum_failures, 0u);
    for (const auto& [id, events] : computed) {
      EXPECT_NEAR(fetched.at(id)[0].logprob, events[0].logprob, 0.1) << id;
      expect_bit_equal(again.at(id), fetched.at(id), fmt::format("{} ranks, sequence {}", ranks, id));
    }
  }
}

// The simulator flips a bit of every third batch of pages that comes to the device.
TEST_F(DeviceEngineTest, ADamagedPageIsCountedAndChangesNoToken) {
  if (std::getenv("CUDASIM_DAMAGE") == nullptr) GTEST_SKIP() << "CUDASIM_DAMAGE is not set";
  std::vector<Request> requests;
  for (const int seed : {1, 2, 3, 1, 2, 3}) requests.push_back(make_request(seed, 50 + 3 * seed, 2));
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    config.scheduler.max_sequences = 1;
    config.cache.prefixes = false;
    const Outputs computed = run_engine(config, ranks, requests);
    const int64_t page = ranks == 1 ? 12288 : 8192;
    config.cache.prefixes = true;
    config.cache.fetch = "always";
    config.cache.device = {page * 5, 0};
    config.cache.host = {page * 30, 0};
    EngineStats stats;
    const Outputs fetched = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.tiers.checksum_failures, 0u) << ranks;
    EXPECT_GT(stats.sources.host, 0) << ranks;
    for (const auto& [id, events] : computed) expect_bit_equal(fetched.at(id), events, fmt::format("{} ranks, sequence {}", ranks, id));
  }
}

// A device pool of 3 pages, sequences of up to 17: all but the newest pages are read on the host, over the link.
TEST_F(DeviceEngineTest, ContextsFiveTimesTheDevicePoolGiveEqualBitsOn1And2Ranks) {
  std::vector<Request> requests = {make_request(1, 262, 3), make_request(2, 100, 3), make_request(1, 262, 3)};  // the last: found whole on the host
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    config.cache.prefixes = false;
    const Outputs resident = run_engine(config, ranks, requests);
    const int64_t page = ranks == 1 ? 12288 : 8192;
    config.cache.prefixes = true;
    config.cache.device = {page * 3, 0};
    config.cache.host = {page * 60, 0};
    config.cache.in_place = true;
    EngineStats stats;
    const Outputs in_place = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.sources.host, 200) << ranks;
    EXPECT_EQ(stats.tiers.moved_in[0], 0u) << ranks;  // read where they lie
    for (const auto& [id, events] : resident) expect_bit_equal(in_place.at(id), events, fmt::format("{} ranks, sequence {}", ranks, id));
  }
}

// Pages that rows read on the host come there from disk, over frames that other rows have just let go.
TEST_F(DeviceEngineTest, PagesReadInPlaceComeBackFromDiskWithEqualBits) {
  const std::vector<Request> requests = {make_request(1, 120, 2), make_request(2, 100, 2), make_request(3, 90, 2), make_request(1, 120, 2), make_request(2, 100, 2)};
  Config config = device_config();
  config.scheduler.max_sequences = 2;
  config.cache.prefixes = false;
  const Outputs resident = run_engine(config, 1, requests);
  const int64_t page = 12288;
  config.cache.prefixes = true;
  config.cache.fetch = "always";
  config.cache.device = {page * 3, 0};
  config.cache.host = {page * 12, 0};
  config.cache.in_place = true;
  const TestDisk disk(config, page * 60);
  EngineStats stats;
  const Outputs in_place = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.sources.disk, 0);
  for (const auto& [id, events] : resident) expect_bit_equal(in_place.at(id), events, fmt::format("sequence {}", id));
}

// As Gemma 3: layers of a window and one that sees everything, norms of heads, GELU.
TEST_F(DeviceEngineTest, AModelWithWindowsGivesTheTokensOfTheCpu) {
  const TinyVocabulary vocabulary = tiny_bpe("smollm");
  TinyModelOptions model = {.architecture = "gemma3", .layers = 6, .heads = 4, .kv_heads = 2, .head_dim = 32, .window = 24, .format = DType::kF16};
  model.vocab_size = static_cast<int32_t>(vocabulary.tokens.size());
  model.vocabulary = &vocabulary;
  const std::string path = (std::filesystem::path(testing::TempDir()) / fmt::format("device_engine_test.gemma.{}.gguf", getpid())).string();
  std::ofstream(path, std::ios::binary) << make_tiny_model(model).build();
  Config config = device_config();
  config.model.load = "file";
  config.model.path = path;
  const std::vector<Request> requests = {make_request(1, 70, 4), make_request(2, 20, 8)};
  config.backend = "cpu";
  const Outputs wanted = run_engine(config, 1, requests);
  config.backend = "cuda";
  for (const int ranks : {1, 2}) expect_same_tokens(run_engine(config, ranks, requests), wanted, 0.02f, "ranks " + std::to_string(ranks));
  // A page is of one layer: (K, V) x 2 heads x 16 tokens x 32 x 2 bytes. With all of them the longer one would have 6 x 5 pages.
  const Outputs roomy = run_engine(config, 1, requests);
  config.scheduler = {.max_tokens_per_step = 16, .max_sequences = 1};
  config.cache.device = {4096 * 26, 0};
  const Outputs pressed = run_engine(config, 1, requests);
  for (const auto& [id, events] : roomy) expect_bit_equal(pressed.at(id), events, "a small pool");
  std::filesystem::remove(path);
}

// Sequences that outgrow the pool and the context, since what falls out of the window is let go; sinks have queries of their own.
TEST_F(DeviceEngineTest, EndlessSequencesGiveTheTokensOfTheCpu) {
  Config config = device_config();
  config.attention = {.window = 40, .sinks = 4};
  config.model.geometry.context_length = 64;
  config.scheduler.max_tokens_per_step = 32;
  config.backend = "cpu";
  const std::vector<Request> requests = {make_request(1, 150, 6)};
  const Outputs wanted = run_engine(config, 1, requests);
  config.backend = "cuda";
  config.cache.device = {12288 * 7, 0};
  const Outputs found = run_engine(config, 1, requests);
  expect_same_tokens(found, wanted, 0.02f, "one rank");
  config.scheduler.max_tokens_per_step = 20;
  expect_bit_equal(run_engine(config, 1, requests).at(1), found.at(1), "other chunks");
  config.cache.device = {8192 * 7, 0};
  expect_same_tokens(run_engine(config, 2, requests), wanted, 0.02f, "two ranks");
}

TEST_F(DeviceEngineTest, PagesOfFewBitsGiveTheTokensOfTheCpu) {
  for (const KvFormat format : {KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16), KvFormat(KvType::kF8), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4)}) {
    Config config = device_config();
    config.cache.format = format;
    config.backend = "cpu";
    const Outputs wanted = run_engine(config, 1, some_requests());
    config.backend = "cuda";
    for (const int ranks : {1, 2}) {
      const Outputs together = run_engine(config, ranks, some_requests());
      expect_same_tokens(together, wanted, page_margin(format), fmt::format("{}, {} ranks", kv_format_name(format), ranks));
      if (ranks == 1) expect_bit_equal(run_engine(config, ranks, {some_requests()[0]}).at(1), together.at(1), "alone");
    }
  }
}

// Windows, sinks with queries of their own, and pages that are read on the host.
TEST_F(DeviceEngineTest, EndlessSequencesOf4BitPagesGiveTheTokensOfTheCpu) {
  for (const KvFormat format : {KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4)}) {
    Config config = device_config();
    config.cache.format = format;
    config.attention = {.window = 40, .sinks = 4};
    config.model.geometry.context_length = 64;
    config.scheduler.max_tokens_per_step = 32;
    config.backend = "cpu";
    const std::vector<Request> requests = {make_request(1, 90, 4)};
    const Outputs wanted = run_engine(config, 1, requests);
    config.backend = "cuda";
    const int ranks = format.k == KvType::kQ4 ? 1 : 2;
    expect_same_tokens(run_engine(config, ranks, requests), wanted, page_margin(format), fmt::format("{}, {} ranks", kv_format_name(format), ranks));
  }
}

TEST_F(DeviceEngineTest, FourBitPagesReadOnTheHostGiveEqualBits) {
  const std::vector<Request> requests = {make_request(1, 70, 2), make_request(1, 70, 2)};
  Config config = device_config();
  config.cache.format = KvType::kQ4;
  config.cache.prefixes = false;
  const Outputs resident = run_engine(config, 1, requests);
  const int64_t page = 4096;  // (K, V) x 3 heads x 16 tokens x (32 + 8) bytes
  config.cache.prefixes = true;
  config.cache.device = {page * 3, 0};
  config.cache.host = {page * 30, 0};
  config.cache.in_place = true;
  EngineStats stats;
  const Outputs in_place = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.sources.host, 0);
  for (const auto& [id, events] : resident) expect_bit_equal(in_place.at(id), events, fmt::format("sequence {}", id));
}

// Hidden states come down beside logits, also those of a decode's recorded step.
// Two layers, of which the second reads sparsely. Pages are chosen by bounds that differ from the CPU's in their last bits, so its tokens say little more than
// that the choice is sane; that it is right is SparseReadingTest's.
TEST_F(DeviceEngineTest, SparseReadingGivesEqualBitsInABatchInAGraphAndInPlaceOn1And2Ranks) {
  // The first is too short to choose. The others replay a graph of two rows when their bounds come to need a second pass (CudaPageChoice), at position 40.
  const std::vector<Request> requests = {make_request(1, 14, 3), make_request(2, 34, 10), make_request(3, 33, 10)};
  for (const int ranks : {1, 2}) {
    Config config = device_config();
    config.model.geometry.layers = 2;
    config.attention.sparse = {.mode = "top", .pages = 3, .epsilon = 0, .first_layers = 1, .sink_pages = 1, .recent_pages = 2, .prompts_from = 0};
    config.cache.page_tokens = 4;
    config.cache.prefixes = false;
    config.graphs = false;
    config.scheduler.max_sequences = 1;
    EngineStats stats, replayed;
    const Outputs alone = run_engine(config, ranks, requests, &stats);
    EXPECT_LT(stats.reading.pages_read, stats.reading.pages_seen);
    const auto expect_alike = [&](const Outputs& found, const char* what) {
      for (const auto& [id, events] : alone) expect_bit_equal(found.at(id), events, fmt::format("{} ranks, {}, sequence {}", ranks, what, id));
    };
    config.graphs = true;
    config.scheduler.max_sequences = 8;
    if (ranks == 1) {
      expect_alike(run_engine(config, ranks, requests, &replayed), "in graphs");
      EXPECT_EQ(replayed.reading.pages_read, stats.reading.pages_read);
      EXPECT_EQ(replayed.reading.pages_seen, stats.reading.pages_seen);
    }
    const auto page = static_cast<int64_t>(make_page_layout(KvType::kF16, 4, 2, ranks == 1 ? 3 : 2, 64, true).page_stride);
    config.cache.prefixes = true;
    config.cache.device = {page * 8, 0};
    config.cache.host = {page * 60, 0};
    config.cache.in_place = true;
    expect_alike(run_engine(config, ranks, requests, &stats), "in place");
    EXPECT_GT(stats.tiers.moved_in[1], 0u);
    if (ranks > 1) continue;
    config.attention.sparse.mode = "bounded";
    EXPECT_NE(session_refusal(config).find("attention.sparse.mode bounded: a CUDA device reads a number of pages that is known beforehand; set it to top, or say backend: cpu"), std::string::npos);
    config.attention.sparse.mode = "top";
    config.backend = "cpu";
    expect_same_tokens(alone, run_engine(config, ranks, requests), 0.1f, "beside the CPU");
  }
}

TEST_F(DeviceEngineTest, PooledHiddenStatesAreTheCpusAndOfEqualBitsHoweverChunked) {
  std::vector<Request> requests = some_requests();
  requests.push_back(make_request(3, 30, 0));
  requests.push_back(make_request(4, 30, 0));
  requests[2].pooling = Pooling::kMean;
  requests[3].pooling = Pooling::kLast;
  Config config = device_config();
  config.backend = "cpu";
  const Outputs wanted = run_engine(config, 1, requests);
  const Outputs found = run_engine(device_config(), 1, requests);
  config = device_config();
  config.scheduler = {.max_tokens_per_step = 7, .max_sequences = 4};
  const Outputs chunked = run_engine(config, 1, requests);
  const Outputs shared = run_engine(device_config(), 2, requests);
  for (const SequenceId id : {SequenceId{3}, SequenceId{4}}) {
    ASSERT_EQ(found.at(id).back().pooled.size(), 128u);
    EXPECT_EQ(chunked.at(id).back().pooled, found.at(id).back().pooled);
    for (size_t i = 0; i < 128; ++i) {
      EXPECT_NEAR(found.at(id).back().pooled[i], wanted.at(id).back().pooled[i], 0.02);
      EXPECT_NEAR(shared.at(id).back().pooled[i], wanted.at(id).back().pooled[i], 0.02);
    }
  }
}

TEST_F(DeviceEngineTest, WholeRowsOfLogitsAndScoresOfGivenTokensComeFromTheDevice) {
  Request sampled = make_request(1, 9, 2);  // top-p without top-k takes whole rows
  sampled.sampling.temperature = 0.8f;
  sampled.sampling.top_p = 0.9f;
  sampled.sampling.seed = 7;
  Request scored = make_request(5, 7, 0);
  scored.prompt_logprobs = true;
  Config config = device_config();
  config.backend = "cpu";
  const Outputs wanted = run_engine(config, 1, {sampled, scored});
  const Outputs found = run_engine(device_config(), 2, {sampled, scored});
  ASSERT_EQ(found.at(2).size(), wanted.at(2).size());
  for (size_t i = 0; i < wanted.at(2).size(); ++i) EXPECT_NEAR(found.at(2)[i].logprob, wanted.at(2)[i].logprob, 0.02);
  ASSERT_EQ(found.at(1).size(), wanted.at(1).size());
  EXPECT_EQ(found.at(1)[0].token, wanted.at(1)[0].token);
}

}  // namespace
}  // namespace terrace
