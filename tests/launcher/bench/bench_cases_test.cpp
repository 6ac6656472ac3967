#include "launcher/bench/bench_cases.h"

#include <gtest/gtest.h>

#include "kernels/base/error.h"

namespace terrace {
namespace {

std::string refusal(const char* text, int32_t smallest = 1) {
  try {
    parse_lengths(text, "--prompt", smallest);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(BenchCasesTest, ReadsListsOfLengths) {
  EXPECT_EQ(parse_lengths("512", "--prompt", 1), std::vector<int32_t>({512}));
  EXPECT_EQ(parse_lengths("0,2048,8000", "--depth", 0), std::vector<int32_t>({0, 2048, 8000}));
  EXPECT_TRUE(parse_lengths("none", "--batch", 1).empty());
}

TEST(BenchCasesTest, RefusesWhatIsNoListOfLengthsWithTheOptionsName) {
  for (const char* text : {"", "512,", ",512", "a", "5x", "-1", "0", "1 2", "99999999999"}) {
    EXPECT_NE(refusal(text).find("--prompt: expected whole numbers from 1"), std::string::npos) << text;
  }
  EXPECT_EQ(refusal("0", 0), "");
}

TEST(BenchCasesTest, ReadsTheShapeOfABatch) {
  const BatchShape shape = parse_batch_shape("64+32");
  EXPECT_EQ(shape.prompt, 64);
  EXPECT_EQ(shape.generated, 32);
  for (const char* text : {"", "64", "64+", "+32", "64+0", "64x32", "64+32+1"}) EXPECT_THROW(parse_batch_shape(text), Error) << text;
}

TEST(BenchCasesTest, AJobOfDepthZeroHasAPromptOfOneTokenAndGeneratesOneTokenBeforeThoseTimed) {
  const std::vector<BenchJob> jobs = bench_jobs({.prompts = {7}, .decode = 5, .depths = {0, 9}, .batches = {3}, .batch_shape = {4, 6}});
  ASSERT_EQ(jobs.size(), 4u);
  EXPECT_EQ(job_name(jobs[0]), "prefill 7");
  EXPECT_EQ(jobs[0].generated, 1);
  EXPECT_EQ(job_name(jobs[1]), "decode 5 at 0");
  EXPECT_EQ(jobs[1].prompt, 1);
  EXPECT_EQ(jobs[1].generated, 6);
  EXPECT_EQ(job_name(jobs[2]), "decode 5 at 9");
  EXPECT_EQ(jobs[2].prompt, 9);
  EXPECT_EQ(job_name(jobs[3]), "batch 3 of 4+6");
}

TEST(BenchCasesTest, SaysWhyAJobDoesNotFit) {
  const BenchRoom room = {.context_length = 100, .max_sequences = 4, .num_frames = 10, .page_tokens = 16};
  EXPECT_EQ(why_skipped({BenchKind::kDecode, 1, 95, 5, 95}, room), "");
  EXPECT_NE(why_skipped({BenchKind::kDecode, 1, 95, 6, 95}, room).find("context of 100"), std::string::npos);
  EXPECT_NE(why_skipped({BenchKind::kBatch, 5, 4, 4, 0}, room).find("--set scheduler.max_sequences=5"), std::string::npos);
  EXPECT_EQ(why_skipped({BenchKind::kBatch, 2, 40, 41, 0}, room), "");  // 80 positions: 5 pages each
  EXPECT_NE(why_skipped({BenchKind::kBatch, 2, 40, 42, 0}, room).find("12 KV pages and the pool has 10"), std::string::npos);
}

TEST(BenchSetupTest, CrossesRanksWithThreadsAndLeavesOutWhatLacksCores) {
  std::vector<std::string> names, skipped;
  for (const BenchSetup& setup : bench_setups({1, 2}, {1, 2}, {})) {
    names.push_back(setup_name(setup));
    skipped.push_back(why_skipped(setup, 2));
  }
  EXPECT_EQ(names, std::vector<std::string>({"1 rank x 1 thread", "1 rank x 2 threads", "2 ranks x 1 thread", "2 ranks x 2 threads"}));
  EXPECT_EQ(skipped, std::vector<std::string>({"", "", "", "this host has 2 cores"}));
}

TEST(BenchSetupTest, AnEmptyListLeavesWhatIsConfigured) {
  const std::vector<BenchSetup> setups = bench_setups({}, {1, 4}, {.ranks = 3, .threads = 2});
  ASSERT_EQ(setups.size(), 2u);
  EXPECT_EQ(setup_name(setups[1]), "3 ranks x 4 threads");
  EXPECT_EQ(setup_name(bench_setups({2}, {}, {})[0]), "2 ranks x auto threads");
}

}  // namespace
}  // namespace terrace
