// Equality with llama.cpp, token by token, on recorded texts ({"text", "ids", "ids_plain"} a line).
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "runtime/text/tokenizer.h"

namespace terrace {
namespace {

std::vector<int32_t> ids_of(const boost::json::value& list) {
  std::vector<int32_t> ids;
  for (const boost::json::value& id : list.as_array()) ids.push_back(id.to_number<int32_t>());
  return ids;
}

/// Returns the number of lines compared.
int expect_same_tokens(const std::string& model, const std::string& golden) {
  const std::unique_ptr<Tokenizer> tokenizer = make_tokenizer(GgufFile::open(model));
  std::ifstream lines(golden);
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const boost::json::value row = boost::json::parse(line);
    const std::string text(row.at("text").as_string());
    EXPECT_EQ(tokenizer->encode(text), ids_of(row.at("ids"))) << golden << ": " << row.at("text");
    EXPECT_EQ(tokenizer->encode(text, {.parse_special = false}), ids_of(row.at("ids_plain")))
        << golden << ": " << row.at("text");
  }
  return count;
}

TEST(TokenizerGoldenTest, SmollmMakesTheTokensOfLlamaCpp) {
  const char* const model = std::getenv("TERRACE_TEST_MODEL");
  if (model == nullptr || *model == '\0') GTEST_SKIP() << "TERRACE_TEST_MODEL names no model";
  const std::string golden = std::string(TERRACE_SOURCE_DIR) + "/tests/golden/tokenizer_smollm2.jsonl";
  if (!std::filesystem::exists(golden)) GTEST_SKIP() << golden << " is missing";
  EXPECT_GT(expect_same_tokens(model, golden), 200);
}

// TERRACE_TEST_VOCABULARIES: a folder of pairs NAME.gguf (only a vocabulary is needed) and NAME.jsonl, for families
// beyond the demo model's.
TEST(TokenizerGoldenTest, EveryVocabularyMakesTheTokensOfLlamaCpp) {
  const char* const folder = std::getenv("TERRACE_TEST_VOCABULARIES");
  if (folder == nullptr || *folder == '\0') GTEST_SKIP() << "TERRACE_TEST_VOCABULARIES names no folder";
  int compared = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    std::filesystem::path golden = entry.path();
    if (golden.extension() != ".gguf" || !std::filesystem::exists(golden.replace_extension(".jsonl"))) continue;
    try {
      compared += expect_same_tokens(entry.path(), golden);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kModelUnsupported) << error.what();
    }
  }
  EXPECT_GT(compared, 0);
}

}  // namespace
}  // namespace terrace
