// LAW 4 for the cache: a sequence's log-probabilities have the same bits whether its pages were computed now, found on the device, fetched from
// the host, or computed again after a preemption; on one rank and on several.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "comm/group.h"
#include "kernels/base/cpu_count.h"
#include "kernels/page_layout.h"
#include "runtime/cache/disk_table.h"
#include "runtime/session.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

constexpr int64_t kPage = kSmallModelPage;
/// Of one rank of several: of 3, 2 or 1 KV heads.
constexpr int64_t page_of(int ranks) { return ranks == 1 ? kPage : ranks == 2 ? 12288 : 8192; }

Config small_config() {
  Config config = small_model_config();
  config.cache.device = {kPage * 200, 0};
  config.cache.fetch = "always";  // this model computes faster than pages come
  config.scheduler = {.max_tokens_per_step = 64, .max_sequences = 8};
  return config;
}

Request ask(int document, int document_tokens, int question) {
  Request request = greedy_request(document, document_tokens, 6, 320);
  const Request tail = greedy_request(100 + question, 10, 6, 320);
  request.prompt.insert(request.prompt.end(), tail.prompt.begin(), tail.prompt.end());
  return request;
}

// Questions about a few documents: the first 150 to 250 tokens are a document's, the last ten the question's.
std::vector<Request> questions(int documents, int each) {
  std::vector<Request> requests;
  for (int question = 0; question < each; ++question) {
    for (int document = 0; document < documents; ++document) requests.push_back(ask(document, 150 + 17 * document, question));
  }
  return requests;
}

Outputs computed(const std::vector<Request>& requests, int ranks) {
  Config config = small_config();
  config.cache.prefixes = false;
  return run_engine(config, ranks, requests);
}

TEST(CacheEngineTest, PagesFoundOnTheDeviceGiveEqualBits) {
  const std::vector<Request> requests = questions(3, 4);
  EngineStats stats;
  const Outputs found = run_engine(small_config(), 1, requests, &stats);
  EXPECT_GT(stats.sources.device, 9 * 140);  // all but the first question of each document
  expect_same(computed(requests, 1), found, "device");
}

TEST(CacheEngineTest, ADiskFileIsTakenOverByARunWithAnotherNumberOfThreads) {
  if (usable_cores() < 2) GTEST_SKIP() << "two threads need two cores";
  const std::vector<Request> requests = questions(3, 1);
  Config config = small_config();
  config.cache.host = {kPage * 60, 0};
  const TestDisk disk(config, kPage * 100);
  const Outputs written = run_engine(config, 1, requests);
  config.parallel.threads = 2;
  EngineStats stats;
  const Outputs read = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.sources.disk, 3 * 140);
  expect_same(written, read, "two threads");
}

TEST(CacheEngineTest, PagesFetchedFromTheHostGiveEqualBitsOn1And2And3Ranks) {
  const std::vector<Request> requests = questions(6, 3);
  for (const int ranks : {1, 2, 3}) {
    Config config = small_config();
    config.cache.device = {page_of(ranks) * 36, 0};  // 6 documents are about 75 pages
    config.cache.host = {page_of(ranks) * 150, 0};
    config.scheduler.max_sequences = 2;
    EngineStats stats;
    const Outputs fetched = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.sources.host, 0) << ranks;
    EXPECT_EQ(stats.tiers.checksum_failures, 0u);
    expect_same(computed(requests, ranks), fetched, "host tier on " + std::to_string(ranks) + " ranks");
  }
}

// What quantised rows hold depends on nothing but their token: shared, fetched, read in place and computed in other chunks, they give the same bits.
TEST(CacheEngineTest, PagesOfFewBitsGiveEqualBitsWhereverTheyWere) {
  const std::vector<Request> requests = questions(6, 2);
  for (const KvFormat format : {KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    const std::string name(kv_format_name(format));
    Config config = small_config();
    config.cache.format = format;
    config.cache.prefixes = false;
    const Outputs expected = run_engine(config, 1, requests);
    config.cache.prefixes = true;
    config.scheduler.max_tokens_per_step = 37;
    const auto page = static_cast<int64_t>(make_page_layout(format, 16, 3, 3, 32).page_stride);
    config.cache.device = {page * 36, 0};
    config.cache.host = {page * 150, 0};
    EngineStats stats;
    expect_same(expected, run_engine(config, 1, requests, &stats), name + " from the host");
    EXPECT_GT(stats.sources.host, 0);
    config.cache.device = {page * 9, 0};  // less than one sequence
    config.cache.in_place = true;
    expect_same(expected, run_engine(config, 1, requests), name + " in place");
  }
}

TEST(CacheEngineTest, PagesOfFewBitsGiveEqualBitsOn2And3RanksFromTheHostAndFromDisk) {
  const std::vector<Request> requests = questions(6, 2);
  for (const KvFormat format : {KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    for (const int ranks : {2, 3}) {
      const std::string name = fmt::format("{} on {} ranks", kv_format_name(format), ranks);
      Config config = small_config();
      config.cache.format = format;
      config.cache.prefixes = false;
      const Outputs expected = run_engine(config, ranks, requests);
      config.cache.prefixes = true;
      const auto page = static_cast<int64_t>(make_page_layout(format, 16, 3, ranks == 2 ? 2 : 1, 32).page_stride);
      config.cache.device = {page * 36, 0};
      config.cache.host = {page * 60, 0};
      const TestDisk disk(config, page * 200);
      EngineStats stats;
      expect_same(expected, run_engine(config, ranks, requests, &stats), name + ", host");
      EXPECT_GT(stats.sources.host + stats.sources.disk, 0) << name;
      expect_same(expected, run_engine(config, ranks, requests, &stats), name + ", disk");
      EXPECT_GT(stats.sources.disk, 0) << name;
    }
  }
}

// In `fast` a row may use other products beside many than beside few, so plans must be alike: documents of whole pages, computed by a question that is asked
// first; then questions that find just these pages, one at a time, on the device or left on disk by an earlier run. (From a host tier under pressure a page may be
// dropped and computed again, which is another plan.)
TEST(CacheEngineTest, FastNumericsGiveEqualBitsFromTheDeviceAndFromDisk) {
  std::vector<Request> first, others;
  for (int document = 0; document < 6; ++document) {
    first.push_back(ask(document, 160 + 16 * document, 0));
    others.push_back(ask(document, 160 + 16 * document, 1));
  }
  std::vector<Request> both = first;
  both.insert(both.end(), others.begin(), others.end());
  Config config = small_config();
  config.numerics = "fast";
  config.scheduler.max_sequences = 1;
  config.model.geometry.context_length = 4096;  // the device's pool is no larger than that
  EngineStats stats;
  const Outputs on_device = run_engine(config, 1, both, &stats);
  EXPECT_EQ(stats.sources.device, 6 * 160 + 16 * 15);
  config.cache.host = {kPage * 150, 0};
  const TestDisk disk(config, kPage * 200);
  run_engine(config, 1, first);
  const Outputs restarted = run_engine(config, 1, others, &stats);
  EXPECT_EQ(stats.sources.disk, 6 * 160 + 16 * 15);
  for (SequenceId id = 1; id <= 6; ++id) expect_bit_equal(on_device.at(6 + id), restarted.at(id), "disk, document " + std::to_string(id));
}

TEST(CacheEngineTest, ASlowLinkChangesNoToken) {
  const std::vector<Request> requests = questions(6, 2);
  Config config = small_config();
  config.cache.device = {kPage * 36, 0};
  config.cache.host = {kPage * 150, 0};
  config.cache.link = {{40 << 20, 0}, 300};
  EngineStats stats;
  expect_same(computed(requests, 1), run_engine(config, 1, requests, &stats), "slow link");
  EXPECT_GT(stats.tiers.moved_in[1], 0u);
}

TEST(CacheEngineTest, PreemptedSequencesResumeFromTheHostWithEqualBitsOn1And2And3Ranks) {
  std::vector<Request> requests;
  for (int i = 0; i < 6; ++i) requests.push_back(greedy_request(i, 30 + 7 * i, 40, 320));
  for (const int ranks : {1, 2, 3}) {
    const Outputs expected = computed(requests, ranks);
    Config config = small_config();
    config.cache.device = {page_of(ranks) * 9, 0};
    config.cache.host = {page_of(ranks) * 60, 0};
    EngineStats stats;
    expect_same(expected, run_engine(config, ranks, requests, &stats), fmt::format("preempted, {} ranks", ranks));
    EXPECT_GT(stats.preemptions, 0u) << ranks;
    EXPECT_GT(stats.sources.host, 0) << ranks;
    config.cache.in_place = true;
    expect_same(expected, run_engine(config, ranks, requests), fmt::format("moved out of the way or preempted, and read in place, {} ranks", ranks));
  }
}

TEST(CacheEngineTest, PagesFoundOnDiskByALaterRunGiveEqualBitsOn1And2And3Ranks) {
  const std::vector<Request> requests = questions(4, 2);
  for (const int ranks : {1, 2, 3}) {
    Config config = small_config();
    config.cache.device = {page_of(ranks) * 36, 0};
    config.cache.host = {page_of(ranks) * 36, 0};
    const TestDisk disk(config, page_of(ranks) * 200);
    run_engine(config, ranks, requests);
    EngineStats stats;
    const Outputs found = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.sources.disk, 0) << ranks;  // how many depends on how fast the disk took them
    expect_same(computed(requests, ranks), found, "disk tier on " + std::to_string(ranks) + " ranks");
  }
}

TEST(CacheEngineTest, PagesFoundOnDiskAndReadOnTheHostGiveEqualBits) {
  const std::vector<Request> requests = questions(4, 2);
  Config config = small_config();
  config.cache.device = {kPage * 12, 0};
  config.cache.host = {kPage * 60, 0};
  config.cache.in_place = true;
  const TestDisk disk(config, kPage * 200);
  run_engine(config, 1, requests);
  EngineStats stats;
  const Outputs found = run_engine(config, 1, requests, &stats);
  EXPECT_GT(stats.sources.disk, 0);
  EXPECT_EQ(stats.tiers.moved_in[0], 0u);  // read where they lie
  expect_same(computed(requests, 1), found, "disk tier, in place");
}

// One bit of each block of one rank's file, from its pages on: which of them are read again depends on the order in which they were written.
void damage(const std::string& file, const DiskGeometry& geometry) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  const auto size = static_cast<int64_t>(std::filesystem::file_size(file));
  for (auto at = static_cast<int64_t>(geometry.page_offset(0)); at < size; at += 4096) {
    stream.seekg(at);
    const auto byte = static_cast<char>(stream.get() ^ 4);
    stream.seekp(at);
    stream.put(byte);
  }
}

TEST(CacheEngineTest, DamageToOneRanksFileIsCountedAndChangesNoToken) {
  const std::vector<Request> requests = questions(4, 2);
  Config config = small_config();
  config.cache.device = {page_of(2) * 36, 0};
  config.cache.host = {page_of(2) * 36, 0};
  const TestDisk disk(config, page_of(2) * 200);
  run_engine(config, 2, requests);
  damage(disk.file(1), {.page_bytes = page_of(2), .num_frames = 200, .page_tokens = config.cache.page_tokens});
  EngineStats stats;
  const Outputs found = run_engine(config, 2, requests, &stats);
  EXPECT_GT(stats.tiers.checksum_failures, 0u);
  expect_same(computed(requests, 2), found, "a damaged file");
}

// A device pool of 8 pages, sequences of up to 64: all but the newest pages are read on the host.
TEST(CacheEngineTest, ContextsEightTimesTheDevicePoolGiveEqualBitsOn1And2And3Ranks) {
  std::vector<Request> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(greedy_request(i, 1000 - 300 * i, 20, 320));
  requests.push_back(requests.front());  // found whole on the host
  for (const int ranks : {1, 2, 3}) {
    Config config = small_config();
    config.cache.device = {page_of(ranks) * 8, 0};
    config.cache.host = {page_of(ranks) * 200, 0};
    config.cache.in_place = true;
    config.model.geometry.context_length = 2048;
    EngineStats stats;
    const Outputs long_ones = run_engine(config, ranks, requests, &stats);
    EXPECT_GT(stats.sources.host, 500) << ranks;
    config.cache = small_config().cache;
    config.cache.prefixes = false;
    expect_same(run_engine(config, ranks, requests), long_ones, "in place on " + std::to_string(ranks) + " ranks");
  }
}

}  // namespace
}  // namespace terrace
