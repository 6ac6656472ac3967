// What each KV format costs on the real model, beside pages in F32: docs/performance.md has the table that this prints.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iterator>

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

TEST(KvFormatTest, EachFormatCostsNoMorePerplexityThanItsBar) {
  const char* path = std::getenv("TERRACE_TEST_MODEL");
  if (path == nullptr || *path == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL is unset: no model file";
  Config config;
  config.model.path = path;
  config.cache.device = {256 << 20, 0};
  std::ifstream in(std::string(TERRACE_SOURCE_DIR) + "/tests/golden/perplexity_smollm2.json");
  const json::value golden = json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
  std::vector<int32_t> ids;
  for (const json::value& id : golden.at("sequences").as_array().front().at("ids").as_array()) ids.push_back(id.to_number<int32_t>());

  const std::vector<SequenceEvent> base = score(config, KvType::kF32, ids);
  for (const NamedKvFormat& named : kKvFormats) {
    if (named.format == KvFormat(KvType::kF32)) continue;
    const Cost cost = cost_of(base, score(config, named.format, ids));
    const PageLayout layout = make_page_layout(named.format, 16, 30, 3, 64);  // SmolLM2-135M
    fmt::print("{:8} {:6} bytes a token, perplexity {:+.3f} %, divergence {:.5f}, |difference| {:.4f}\n", named.name,
               layout.layer_stride * static_cast<size_t>(layout.num_layers) / 16, 100 * cost.perplexity, cost.divergence, cost.difference);
    EXPECT_LE(cost.perplexity, bar_of(named.format).perplexity) << named.name;
    EXPECT_LE(cost.divergence, bar_of(named.format).divergence) << named.name;
  }
}

}  // namespace
}  // namespace terrace
