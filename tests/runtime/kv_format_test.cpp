// What each KV format costs on the real model, beside pages in F32: docs/performance.md has the table that this prints.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <optional>

#include "kernels/page_layout.h"
#include "tests/support/runtime/engine_run.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr int kTop = 20;

/// A text scored token by token, with the kTop likeliest tokens of each position.
std::vector<SequenceEvent> score(Config config, KvFormat format, const std::vector<int32_t>& ids) {
  config.cache.format = format;
  Request request;
  request.prompt = ids;
  request.max_tokens = 0;
  request.prompt_logprobs = true;
  request.logprobs = kTop;
  std::vector<SequenceEvent> events = run_engine(config, 1, {request}).at(1);
  std::erase_if(events, [](const SequenceEvent& event) { return event.token < 0; });
  return events;
}

/// Kullback-Leibler divergence from `base`, nats, where all but base's likeliest tokens that `other` names too count as one: not above the whole one.
double divergence(const SequenceEvent& base, const SequenceEvent& other) {
  double sum = 0, base_rest = 1, other_rest = 1;
  for (const auto& mine : base.top) {
    for (const auto& theirs : other.top) {
      if (theirs.token != mine.token) continue;
      const double p = std::exp(static_cast<double>(mine.logprob));
      sum += p * (static_cast<double>(mine.logprob) - theirs.logprob);
      base_rest -= p;
      other_rest -= std::exp(static_cast<double>(theirs.logprob));
    }
  }
  return base_rest > 1e-6 && other_rest > 1e-6 ? sum + base_rest * std::log(base_rest / other_rest) : sum;
}

struct Cost {
  double perplexity = 0;  // share that it rises by
  double divergence = 0;  // mean, nats
  double difference = 0;  // mean of |log-probability - that of F32 pages|
};

Cost cost_of(const std::vector<SequenceEvent>& base, const std::vector<SequenceEvent>& other) {
  Cost cost;
  const auto count = static_cast<double>(base.size());
  double sum = 0;
  for (size_t i = 0; i < base.size(); ++i) {
    const double lost = static_cast<double>(base[i].logprob) - other.at(i).logprob;
    sum += lost;
    cost.difference += std::abs(lost) / count;
    cost.divergence += divergence(base[i], other[i]) / count;
  }
  cost.perplexity = std::exp(sum / count) - 1;
  return cost;
}

/// What a format may cost, with some room for what any change of the last bits does.
struct Bar {
  double perplexity = 0.0015;
  double divergence = 0.005;
};

Bar bar_of(KvFormat format) {
  if (format.k == KvType::kQ4) return {0.035, 0.02};
  if (format.v == KvType::kQ4) return {0.005, 0.006};
  return {format == KvFormat(KvType::kQ8) ? 0.002 : 0.0015, 0.005};
}

/// The essay of the perplexity goldens.
std::vector<int32_t> essay() {
  std::ifstream in(std::string(TERRACE_SOURCE_DIR) + "/tests/golden/perplexity_smollm2.json");
  const json::value golden = json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
  std::vector<int32_t> ids;
  for (const json::value& id : golden.at("sequences").as_array().front().at("ids").as_array()) ids.push_back(id.to_number<int32_t>());
  return ids;
}

/// The real model, or none: then the test is skipped.
std::optional<Config> model_config() {
  const char* path = std::getenv("TERRACE_TEST_MODEL");
  if (path == nullptr || *path == '\0') return std::nullopt;
  Config config;
  config.model.path = path;
  config.cache.device = {256 << 20, 0};
  return config;
}

TEST(KvFormatTest, EachFormatCostsNoMorePerplexityThanItsBar) {
  const std::optional<Config> config = model_config();
  if (!config) GTEST_SKIP() << "TERRACE_TEST_MODEL is unset: no model file";
  const std::vector<int32_t> ids = essay();
  const std::vector<SequenceEvent> base = score(*config, KvType::kF32, ids);
  for (const NamedKvFormat& named : kKvFormats) {
    if (named.format == KvFormat(KvType::kF32)) continue;
    const Cost cost = cost_of(base, score(*config, named.format, ids));
    const PageLayout layout = make_page_layout(named.format, 16, 30, 3, 64);  // SmolLM2-135M
    fmt::print("{:8} {:6} bytes a token, perplexity {:+.3f} %, divergence {:.5f}, |difference| {:.4f}\n", named.name,
               layout.layer_stride * static_cast<size_t>(layout.num_layers) / 16, 100 * cost.perplexity, cost.divergence, cost.difference);
    EXPECT_LE(cost.perplexity, bar_of(named.format).perplexity) << named.name;
    EXPECT_LE(cost.divergence, bar_of(named.format).divergence) << named.name;
  }
}

/// What follows after the essay's first 16 n + 8 tokens, for every n: the full pages before come from the disk, where an earlier run has left them.
std::vector<SequenceEvent> continue_from_disk(Config config, const std::vector<int32_t>& ids) {
  config.cache.host = {256 << 20, 0};
  config.cache.fetch = "always";
  const TestDisk disk(config, 256 << 20);
  config.scheduler.max_sequences = 1;
  Request request;
  request.prompt = ids;
  request.max_tokens = 1;
  run_engine(config, 1, {request});
  request.logprobs = kTop;
  request.sampling.temperature = 0;
  std::vector<Request> requests;
  for (size_t length = 24; length < ids.size(); length += 16) {
    request.prompt.assign(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(length));
    requests.push_back(request);
  }
  std::ranges::reverse(requests);  // the longest fetches all
  EngineStats stats;
  const Outputs outputs = run_engine(config, 1, requests, &stats);
  EXPECT_GE(stats.sources.disk, static_cast<int64_t>(ids.size() / 16 - 1) * 16);
  EXPECT_LT(stats.sources.computed, 8 * static_cast<int64_t>(requests.size()));  // the rest of the last page, at most
  std::vector<SequenceEvent> events;
  for (const auto& [id, each] : outputs) events.push_back(each.front());
  return events;
}

TEST(KvFormatTest, PagesStoredIn8BitsCostNoMoreThanTheBarOf8Bits) {
  std::optional<Config> config = model_config();
  if (!config) GTEST_SKIP() << "TERRACE_TEST_MODEL is unset: no model file";
  const std::vector<int32_t> ids = essay();
  const std::vector<SequenceEvent> base = continue_from_disk(*config, ids);
  config->cache.host_format = "Q8";
  const std::vector<SequenceEvent> stored = continue_from_disk(*config, ids);
  config->cache.format = KvType::kQ8;
  const std::vector<SequenceEvent> q8 = continue_from_disk(*config, ids);
  const auto mean = [&](const std::vector<SequenceEvent>& other) {
    double sum = 0;
    for (size_t i = 0; i < base.size(); ++i) sum += divergence(base[i], other.at(i)) / static_cast<double>(base.size());
    return sum;
  };
  fmt::print("{} positions: divergence {:.5f} where pages were stored in 8 bits, {:.5f} in pages of 8 bits\n", base.size(), mean(stored), mean(q8));
  EXPECT_GT(mean(stored), 0);
  EXPECT_LE(mean(stored), Bar().divergence);
}

}  // namespace
}  // namespace terrace
