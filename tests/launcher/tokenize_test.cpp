#include "launcher/tokenize.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "kernels/base/error.h"

namespace terrace {
namespace {

class TokenizeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* const model = std::getenv("TERRACE_TEST_MODEL");
    if (model == nullptr || *model == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL names no model";
    options_.model_path = model;
  }

  std::string run(const std::string& input) {
    std::istringstream in(input);
    std::ostringstream out;
    EXPECT_EQ(run_tokenize(options_, in, out), 0);
    return out.str();
  }

  TokenizeOptions options_;
};

TEST_F(TokenizeTest, TurnsTextIntoOneListAndBack) {
  EXPECT_EQ(run("a\n b"), "[81,198,278]\n");  // ids of SmolLM2, as llama.cpp gives them
  EXPECT_EQ(run(""), "[]\n");
  options_.decode = true;
  EXPECT_EQ(run("[81,198, 278]\n"), "a\n b");
  EXPECT_EQ(run("[]"), "");
}

TEST_F(TokenizeTest, TakesSpecialTokensForTextOnRequest) {
  EXPECT_EQ(run("<|im_end|>"), "[2]\n");
  options_.no_special = true;
  EXPECT_EQ(run("<|im_end|>").find("[2]"), std::string::npos);
  options_.decode = true;
  EXPECT_EQ(run("[81,2]"), "a");
  options_.no_special = false;
  EXPECT_EQ(run("[81,2]"), "a<|im_end|>");
}

TEST_F(TokenizeTest, TakesAndGivesJsonLines) {
  options_.jsonl = true;
  EXPECT_EQ(run("\"a\\n b\"\n\"\"\n"), "[81,198,278]\n[]\n");
  options_.decode = true;
  EXPECT_EQ(run("[81,198,278]\n[]"), "\"a\\n b\"\n\"\"\n");
}

TEST_F(TokenizeTest, ABadLineIsAnErrorOnItsLine) {
  options_.jsonl = true;
  const std::string text = run("\"a\"\n12\n\"\xff\"\nnope\n\"\\ud800\"\n\"a\"\n");
  std::istringstream lines(text);
  int line_number = 0;
  for (std::string line; std::getline(lines, line); ++line_number) {
    const bool good = line_number == 0 || line_number == 5;
    EXPECT_EQ(line.starts_with("{\"error\":"), !good) << line;
    EXPECT_EQ(line.find("offset 1 ") != std::string::npos, line_number == 2) << line;
  }
  EXPECT_EQ(line_number, 6);
  options_.decode = true;
  EXPECT_TRUE(run("[99999999]").starts_with("{\"error\":"));
  EXPECT_TRUE(run("[1.5]").starts_with("{\"error\":"));
  EXPECT_TRUE(run("[4294967297]").starts_with("{\"error\":"));
}

TEST_F(TokenizeTest, InvalidUtf8IsRefusedWithItsOffset) {
  try {
    run("abc\x80");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(exit_code(error.code()), 2);
    EXPECT_NE(std::string(error.what()).find("offset 3 "), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace terrace
