#include "tests/support/runtime/engine_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "runtime/session.h"

namespace terrace {

Config small_model_config() {
  Config config;
  config.model.load = "dummy";
  config.model.geometry = {.layers = 3, .hidden_size = 96, .heads = 6, .kv_heads = 3, .head_dim = 32, .ffn_size = 192, .vocab_size = 320,
                           .context_length = 1024, .rope_base = 10000, .format = DType::kQ4_1};
  config.backend = "cpu";
  config.parallel.threads = 1;
  config.cache.device = {16 << 20, 0};
  config.scheduler = {.max_tokens_per_step = 256, .max_sequences = 40};
  return config;
}

namespace {

std::string new_disk_path() {
  static int number = 0;
  return (std::filesystem::path(::testing::TempDir()) / fmt::format("terrace_test_disk.{}.{}", getpid(), number++)).string();
}

}  // namespace

TestDisk::TestDisk(Config& config, int64_t bytes) : path_(new_disk_path()) {
  config.cache.disk.path = path_;
  config.cache.disk.size = {bytes, 0};
}

TestDisk::~TestDisk() {
  for (int rank = 0; rank < 8; ++rank) std::filesystem::remove(file(rank));
}

Outputs run_engine(const Config& config, int ranks, const std::vector<Request>& requests, EngineStats* stats) {
  Outputs outputs;
  GroupOptions options;
  options.local_ranks = ranks;
  options.spin = false;
  const int code = run_ranks(options, [&](RankGroup& group) {
    Session session(config, group, {.announce = false, .load_progress = {}});
    if (group.rank != 0) {
      session.follow();
      return 0;
    }
    for (const Request& request : requests) session.engine().submit(request);
    while (session.engine().busy()) {
      for (SequenceEvent& event : session.engine().step()) outputs[event.id].push_back(std::move(event));
    }
    session.engine().write_out();
    if (stats != nullptr) *stats = session.engine().stats();
    session.engine().stop();
    return 0;
  });
  EXPECT_EQ(code, 0);
  return outputs;
}

Request greedy_request(int seed, int prompt_tokens, int max_tokens, int vocab_size) {
  Request request;
  for (int i = 0; i < prompt_tokens; ++i) request.prompt.push_back((seed * 37 + i * 11 + i * i) % vocab_size);
  request.max_tokens = max_tokens;
  request.sampling.temperature = 0;
  request.logprobs = 3;
  return request;
}

double cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    ab += double{a[i]} * double{b[i]};
    aa += double{a[i]} * double{a[i]};
    bb += double{b[i]} * double{b[i]};
  }
  return ab / std::sqrt(aa * bb);
}

void expect_bit_equal(const std::vector<SequenceEvent>& a, const std::vector<SequenceEvent>& b, const std::string& what) {
  ASSERT_EQ(a.size(), b.size()) << what;
  for (size_t i = 0; i < a.size(); ++i) {
    ASSERT_EQ(a[i].token, b[i].token) << what << ", token " << i;
    ASSERT_EQ(a[i].logprob, b[i].logprob) << what << ", token " << i;
    ASSERT_EQ(a[i].top.size(), b[i].top.size());
    for (size_t k = 0; k < a[i].top.size(); ++k) ASSERT_EQ(a[i].top[k].logprob, b[i].top[k].logprob) << what << ", token " << i;
    ASSERT_EQ(a[i].finish, b[i].finish) << what;
  }
}

void expect_same(const Outputs& expected, const Outputs& actual, const std::string& what) {
  ASSERT_EQ(expected.size(), actual.size()) << what;
  for (const auto& [id, events] : expected) expect_bit_equal(events, actual.at(id), fmt::format("{}, sequence {}", what, id));
}

std::string session_refusal(const Config& config) {
  std::string message;
  GroupOptions options;
  options.local_ranks = 1;
  run_ranks(options, [&](RankGroup& group) {
    try {
      const Session session(config, group, {.announce = false, .load_progress = {}});
    } catch (const Error& error) {
      message = error.what();
    }
    return 0;
  });
  return message;
}

}  // namespace terrace
