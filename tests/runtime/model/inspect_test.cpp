#include "runtime/model/inspect.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

std::string inspect(const GgufBuilder& builder) {
  const std::string bytes = builder.build();
  return inspect_model(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
}

void expect_line(const std::string& report, std::string_view line) {
  EXPECT_NE(fmt::format("\n{}", report).find(fmt::format("\n{}", line)), std::string::npos) << report;
}

TEST(InspectTest, ReportsShapesAndTheQuantisationMix) {
  TinyModelOptions options;
  options.format = DType::kQ4_0;
  GgufBuilder builder = make_tiny_model(options);
  builder.add_string("tokenizer.ggml.model", "gpt2").add_string("tokenizer.ggml.pre", "smollm").add_u32("tokenizer.ggml.eos_token_id", 2);
  builder.add_string("tokenizer.chat_template", "{% for m in messages %}\n{% endfor %}");
  const std::string report = inspect(builder);
  expect_line(report, "architecture    llama, 2 layers, hidden 64, FFN 96");
  expect_line(report, "attention       4 query heads, 2 KV heads of 32");
  expect_line(report, "rope            base 10000, 32 of 32 dimensions, adjacent pairs");
  expect_line(report, "vocabulary      100 tokens, own output head");
  expect_line(report, "parameters      0.1 M in 21 tensors, ");
  expect_line(report, "                Q4_0     16 tensors       0.1 M parameters");
  expect_line(report, "                F32       5 tensors       0.0 M parameters");
  expect_line(report, "tokenizer       gpt2 (smollm), 100 tokens, 0 merges");
  expect_line(report, "special tokens  bos none, eos 2 \"t2\"");
  expect_line(report, "chat template   36 characters on 2 lines");
}

TEST(InspectTest, ReportsAFileThatCannotBeRun) {
  const std::string report = inspect(GgufBuilder().add_string("general.architecture", "mamba\x1b[2J").add_string("general.name", "x"));
  expect_line(report, "architecture    mamba\\x1b[2J");
  expect_line(report, "runs            no: tiny.gguf is a model of architecture");
  expect_line(report, "tensors         none: a vocabulary only");
  expect_line(report, "tokenizer       none");
}

TEST(InspectTest, ReportsTheDemoModel) {
  const char* path = std::getenv("TERRACE_TEST_MODEL");
  if (path == nullptr || *path == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL is unset";
  const std::string report = inspect_model(GgufFile::open(path));
  expect_line(report, "architecture    llama, 30 layers, hidden 576, FFN 1536");
  expect_line(report, "parameters      134.5 M in 272 tensors, ");
  expect_line(report, "                Q4_1    210 tensors     106.2 M parameters");
}

}  // namespace
}  // namespace terrace
