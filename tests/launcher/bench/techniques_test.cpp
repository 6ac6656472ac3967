#include <gtest/gtest.h>

#include <algorithm>

#include "comm/group.h"
#include "launcher/bench/engine_techniques.h"
#include "launcher/bench/kernel_techniques.h"
#include "runtime/session.h"

namespace terrace {
namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != text.npos; at = text.find(part, at + 1)) ++count;
  return count;
}

TEST(TechniquesTest, TheCacheIsWorthTheRatioOfTheTimesAtEachLength) {
  const TechniqueResult result = compare_cache({{64, 5}, {1024, 10}}, {{64, 50}, {1024, 1000}});
  EXPECT_EQ(result.measured, "10.0x at 64, 100x at 1024");
  EXPECT_EQ(compare_cache({{64, 5}, {128, 5}}, {{64, 10}}).measured, "2.00x at 64");  // interrupted in between
}

TEST(TechniquesTest, PagingFitsWhatAReservationOfTheContextDoesNot) {
  // 1,000 pages of 16: 142 sequences of 100 tokens (7 pages each), or 4 reservations of 4,000.
  const PageLayout layout = make_page_layout(KvType::kF16, 16, 2, 2, 32);
  const std::string table = compare_paging(1000, layout, 4000).table.markdown();
  EXPECT_NE(table.find("| 100 | 142 | 10.7 % | 4 | 97.5 % | 35.5x |"), std::string::npos) << table;
  EXPECT_EQ(count_of(compare_paging(10, layout, 4000).table.markdown(), "\n"), 2u);  // not even one reservation: a header alone
}

TEST(TechniquesTest, MixedRequestsAreTheSameEachTimeAndWithinTheirBounds) {
  const std::vector<BatchShape> requests = mixed_requests(50), again = mixed_requests(50);
  for (size_t i = 0; i < requests.size(); ++i) {
    EXPECT_EQ(requests[i].prompt, again[i].prompt);
    EXPECT_TRUE(requests[i].prompt >= 8 && requests[i].prompt <= 64);
    EXPECT_TRUE(requests[i].generated >= 8 && requests[i].generated <= 128);
  }
  EXPECT_NE(requests[0].generated, requests[1].generated);
}

TEST(TechniquesTest, EveryWayOfBatchingRunsAllRequests) {
  Config config;
  config.model.load = "dummy";
  config.cache.device = {int64_t{1} << 20, 0};
  run_ranks({.local_ranks = 1, .spin = false}, [&](RankGroup& group) {
    Session session(config, group, {.announce = false, .load_progress = {}});
    EngineTimer timer(session.engine(), session.model().vocab_size, [] { return false; });
    const auto result = compare_batching(timer, {{4, 3}, {9, 8}, {2, 5}}, 2);
    EXPECT_TRUE(result);
    EXPECT_EQ(session.engine().stats().generated_tokens, 16u + (8 + 8 + 5) + 16u);  // alone; padded in pairs; together
    EXPECT_EQ(count_of(result->table.plain(), "\n"), 4u);
    EXPECT_FALSE(compare_batching(*std::make_unique<EngineTimer>(session.engine(), 10, [] { return true; }), {{4, 3}}, 2));
    session.engine().stop();
    return 0;
  });
}

TEST(TechniquesTest, KernelTechniquesMeasureEachLengthUntilInterrupted) {
  ModelConfig model;
  model.num_q_heads = 4, model.num_kv_heads = 2, model.head_dim = 32;
  int asked = 0;
  const TechniqueResult flash = compare_flash({{.num_threads = 2, .spin = false, .isa = {}}, [&] { return ++asked > 2; }}, model, {64, 128, 256});
  EXPECT_EQ(count_of(flash.table.plain(), "\n"), 3u) << flash.table.plain();
  EXPECT_NE(flash.measured.find(" at 128"), std::string::npos) << flash.measured;
  const TechniqueResult heads = compare_heads({{.num_threads = 2, .spin = false, .isa = {}}, [] { return false; }}, 64);
  EXPECT_NE(heads.table.plain().find("1/32"), std::string::npos);
  EXPECT_NE(heads.measured.find("8x less memory"), std::string::npos);
}

TEST(SvgPlotTest, DrawsEachLineWithItsPointsAndName) {
  const std::string svg = to_svg({"a < b", "x", "y", {{"one", "red", {{64, 5}, {128, 7}}}, {"two", "blue", {{64, 5000}}}}});
  EXPECT_EQ(count_of(svg, "<polyline"), 2u);
  EXPECT_EQ(count_of(svg, "<circle"), 3u);
  EXPECT_NE(svg.find("a &lt; b"), std::string::npos);
  EXPECT_NE(svg.find(">10000<"), std::string::npos);  // the decade above 5,000
  EXPECT_EQ(svg.find("nan"), std::string::npos);
  EXPECT_EQ(svg.rfind("</svg>\n"), svg.size() - 7);
  const std::string flat = to_svg({"", "x", "y", {{"", "red", {{1, 10}}}}});
  EXPECT_EQ(flat.find("nan"), std::string::npos);
  EXPECT_EQ(flat.find("inf"), std::string::npos);
}

}  // namespace
}  // namespace terrace
