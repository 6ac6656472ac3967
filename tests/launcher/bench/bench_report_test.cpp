#include "launcher/bench/bench_report.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "launcher/bench/text_table.h"

namespace terrace {
namespace {

JobTiming timing(double prompt_seconds, double seconds, int64_t prompt, int64_t generated, int64_t after) {
  JobTiming result;
  result.prompt_seconds = prompt_seconds;
  result.seconds = seconds;
  result.prompt_tokens = prompt;
  result.generated_tokens = generated;
  result.tokens_after_prompts = after;
  return result;
}

BenchMachine small_machine() {
  BenchMachine machine;
  machine.limits = {.memory_bytes = 1 << 20, .set_bytes = 1000, .memory_rate = 1e4, .set_rate = 2e4, .int8_multiply_adds = 1e6,
                    .fp32_multiply_adds = 1e5, .instructions = "abacus"};
  machine.weight_bytes = 1000;
  machine.kv_bytes_per_token = 10;
  machine.work = {.linear = 100, .head = 50, .attention_per_key = 2};
  return machine;
}

BenchReport small_report() {
  BenchReport report;
  report.model = "m (llama)";
  report.kv_format = "F16";
  report.backend = "cpu avx2, 2 threads";
  report.loaded = ProcessAge{0.5, true};
  report.first_token = ProcessAge{0.75, true};
  report.machine = small_machine();
  report.results = {{.job = {BenchKind::kDecode, 1, 1, 11, 0}, .timings = {timing(1, 2, 1, 11, 10), timing(1, 3, 1, 11, 10), timing(1, 6, 1, 11, 10)}, .skipped = {}},
                    {.job = {BenchKind::kBatch, 4, 5, 3, 0}, .timings = {timing(2, 4, 20, 12, 6)}, .skipped = {}},
                    {.job = {BenchKind::kPrefill, 1, 900, 1, 0}, .timings = {}, .skipped = "too long"}};
  return report;
}

std::string show(const BenchReport& report, BenchFormat format) { return format_reports({&report, 1}, format); }

TEST(BenchReportTest, ADecodeRateCountsTheTokensAfterTheFirst) {
  const BenchReport report = small_report();
  const std::vector<BenchFigure> figures = figures_of(report.results[0], report.machine);
  ASSERT_EQ(figures.size(), 1u);
  EXPECT_EQ(figures[0].samples, std::vector<double>({10, 5, 2}));
  EXPECT_EQ(figures[0].median(), 5);
}

TEST(BenchReportTest, ABatchHasTheWholeJobItsPromptsAndItsDecoding) {
  const BenchReport report = small_report();
  const std::vector<BenchFigure> figures = figures_of(report.results[1], report.machine);
  ASSERT_EQ(figures.size(), 3u);
  EXPECT_EQ(figures[0].median(), 3);   // 12 tokens in 4 s
  EXPECT_EQ(figures[1].median(), 10);  // 20 in 2 s
  EXPECT_EQ(figures[2].median(), 3);   // 6 in 2 s
}

TEST(BenchReportTest, TheTableNamesWhatWasLeftOutAndWhy) {
  const std::string table = show(small_report(), BenchFormat::kTable);
  for (const char* text : {"m (llama); 1 rank of cpu avx2, 2 threads; KV F16", "from mpirun's start: 0.50 s to the model loaded, 0.75 s to the first token",
                           "abacus", "decode 10 at 0", "prefill 900: left out, too long"}) {
    EXPECT_NE(table.find(text), std::string::npos) << text << "\n" << table;
  }
}

TEST(BenchReportTest, MarkdownIsATableOfAsManyCellsInEveryRow) {
  const std::string markdown = show(small_report(), BenchFormat::kMarkdown);
  EXPECT_NE(markdown.find("| measured | tok/s | min | max | bound | of it |\n|---|---:|---:|---:|---:|---:|\n| decode 10 at 0 | 5.00 | 2.00 | 10.0 | 19.0 | 26 % |"),
            std::string::npos)
      << markdown;
}

TEST(BenchReportTest, JsonCarriesEverySampleAndTheMachine) {
  const auto json = boost::json::parse(show(small_report(), BenchFormat::kJson)).as_object();
  EXPECT_EQ(json.at("machine").at("set_bytes_per_s").as_double(), 2e4);
  EXPECT_EQ(json.at("load").at("since").as_string(), "mpirun");
  const auto& decode = json.at("results").as_array().at(0);
  EXPECT_EQ(decode.at("kind").as_string(), "decode");
  const auto& figure = decode.at("tokens_per_s").as_array().at(0);
  EXPECT_EQ(figure.at("samples").as_array().size(), 3u);
  EXPECT_EQ(figure.at("median").as_double(), 5);
  EXPECT_EQ(json.at("results").as_array().at(2).at("skipped").as_string(), "too long");
}

TEST(BenchReportTest, ASweepShowsSetupsSideBySideJobForJob) {
  std::vector<BenchReport> reports = {small_report(), small_report(), BenchReport{}};
  reports[0].setup = {.ranks = 1, .threads = 2};
  reports[1].setup = {.ranks = 2, .threads = 1};
  reports[2].setup = {.ranks = 2, .threads = 2};
  reports[2].skipped = "no core is left";
  const std::string markdown = format_reports(reports, BenchFormat::kMarkdown);
  for (const char* text : {"| decode 10 at 0 | 1 rank x 2 threads | 5.00 | 2.00 | 10.0 | 19.0 | 26 % |\n| decode 10 at 0 | 2 ranks x 1 thread | 5.00 |",
                           "prefill 900, 2 ranks x 1 thread: left out, too long", "2 ranks x 2 threads: left out, no core is left"}) {
    EXPECT_NE(markdown.find(text), std::string::npos) << text << "\n" << markdown;
  }
  const auto sweep = boost::json::parse(format_reports(reports, BenchFormat::kJson)).at("sweep").as_array();
  ASSERT_EQ(sweep.size(), 3u);
  EXPECT_EQ(sweep[1].at("ranks").as_int64(), 2);
  EXPECT_EQ(sweep[1].at("results").as_array().size(), 3u);
  EXPECT_EQ(sweep[2].at("skipped").as_string(), "no core is left");
}

TEST(BenchReportTest, SaysWhenTheMachineWasMeasuredOverAPartOfTheWeights) {
  BenchReport report = small_report();
  report.machine.weight_bytes = 3 << 20;
  report.machine.limits.set_bytes = 3 << 20;
  EXPECT_NE(show(report, BenchFormat::kTable).find("over the weights' 3 MiB;"), std::string::npos) << show(report, BenchFormat::kTable);
  report.machine.limits.set_bytes = 1 << 20;
  EXPECT_NE(show(report, BenchFormat::kTable).find("over 1 MiB of the weights' 3;"), std::string::npos) << show(report, BenchFormat::kTable);
}

TEST(BenchReportTest, WithoutProbesThereAreNoBounds) {
  BenchReport report = small_report();
  report.machine.limits = {};
  EXPECT_EQ(show(report, BenchFormat::kTable).find("this machine"), std::string::npos);
  EXPECT_FALSE(boost::json::parse(show(report, BenchFormat::kJson)).as_object().contains("machine"));
}

TEST(MachineBoundsTest, ReadingBoundsOneSequenceAndMultiplyingBoundsMany) {
  const BenchMachine machine = small_machine();
  // 1,000 bytes of weights and 10 of KV a step at 20,000 bytes/s; 150 int8 and 2 fp32 multiply-adds take less.
  EXPECT_NEAR(decode_bound(machine, 0, 1, 1), 2e4 / 1010, 1e-9);
  // 1,000 sequences: 0.15 s of int8 and 0.02 s of fp32 work, but 11,000 bytes: 0.55 s.
  EXPECT_NEAR(decode_bound(machine, 0, 1, 1000), 1000 / 0.55, 1e-6);
  // 10 tokens of 100, a row of logits of 50, 55 keys of 2.
  EXPECT_NEAR(prefill_bound(machine, 10, 1), 10 / (1050 / 1e6 + 110 / 1e5), 1e-6);
  EXPECT_EQ(decode_bound(machine, 0, 0, 1), 0);
}

TEST(MachineBoundsTest, CountsTheMultiplyAddsOfAModel) {
  ModelConfig model;
  model.num_layers = 2, model.hidden_size = 8, model.num_q_heads = 4, model.num_kv_heads = 2, model.head_dim = 3, model.ffn_size = 10, model.vocab_size = 100;
  const ModelWork work = model_work(model);
  EXPECT_EQ(work.linear, 2 * (8 * 12 + 2 * 8 * 6 + 12 * 8 + 3 * 8 * 10));
  EXPECT_EQ(work.head, 800);
  EXPECT_EQ(work.attention_per_key, 2 * 2 * 12);
}

TEST(TextTableTest, AlignsColumns) {
  TextTable table({"a", "number"});
  table.add({"long name", "1"});
  EXPECT_EQ(table.plain(), "a          number\nlong name       1\n");
  TextTable words({"a", "b"}, 2);
  words.add({"x", "long"});
  EXPECT_EQ(words.plain(), "a  b\nx  long\n");
  EXPECT_EQ(words.markdown(), "| a | b |\n|---|---|\n| x | long |\n");
}

TEST(TextTableTest, ShortensNumbers) {
  EXPECT_EQ(short_number(1234567), "1,234,567");
  EXPECT_EQ(short_number(-1000), "-1,000");
  EXPECT_EQ(whole_number(16), "16");
  EXPECT_EQ(short_number(123.4), "123");
  EXPECT_EQ(short_number(12.34), "12.3");
  EXPECT_EQ(short_number(4), "4.00");
  EXPECT_EQ(short_number(0.1234), "0.123");
  EXPECT_EQ(with_prefix(70.2e9), "70.2 G");
}

TEST(ProcessAgeTest, ReadsTheStartFromAStatWhoseNameHoldsParentheses) {
  EXPECT_EQ(start_ticks("12 (a) b (c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20"), 4711);
  EXPECT_FALSE(start_ticks("12 (cut"));
  EXPECT_FALSE(start_ticks("12 (a) S 1 2"));
}

TEST(ProcessAgeTest, ThisProcessBeganNotLongAgo) {
  const auto age = job_age();
  ASSERT_TRUE(age);
  EXPECT_GE(age->seconds, 0);
  EXPECT_LT(age->seconds, 3600);
}

}  // namespace
}  // namespace terrace
