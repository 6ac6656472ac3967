#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>

#include "kernels/base/error.h"
#include "launcher/batch/batch_input.h"
#include "launcher/batch/batch_output.h"

namespace terrace {
namespace {

class BatchFilesTest : public ::testing::Test {
 protected:
  BatchFilesTest() : folder_(std::filesystem::temp_directory_path() / ("terrace_batch_" + std::to_string(::getpid()))) {
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directories(folder_);
  }
  ~BatchFilesTest() override { std::filesystem::remove_all(folder_); }

  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  std::string read(const std::string& name) const {
    std::ifstream in(path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }

  std::filesystem::path folder_;
};

std::string line(const std::string& id, int status = 200) {
  return R"({"id":"batch_req_0","custom_id":")" + id + R"(","response":{"status_code":)" + std::to_string(status) + R"(,"body":{}},"error":null})";
}

TEST_F(BatchFilesTest, InputKeepsUnreadableLinesUnderTheirNumber) {
  const BatchInput input(write("in", "{\"custom_id\":\"a\"}\n\nnot json\n{\"no\":1}\n{\"custom_id\":\"b\"}"));
  ASSERT_EQ(input.lines().size(), 4u);
  EXPECT_TRUE(input.lines()[0].readable);
  EXPECT_EQ(input.lines()[1].custom_id, "line:3");
  EXPECT_FALSE(input.lines()[1].readable);
  EXPECT_NE(input.problem(input.lines()[2]).find("custom_id"), std::string::npos);
  EXPECT_EQ(input.lines()[3].custom_id, "b");
  EXPECT_EQ(input.text(input.lines()[3]), "{\"custom_id\":\"b\"}");
}

TEST_F(BatchFilesTest, DuplicateCustomIdsNameBothLines) {
  try {
    const BatchInput input(write("in", "{\"custom_id\":\"a\"}\n{\"custom_id\":\"b\"}\n{\"custom_id\":\"a\"}\n"));
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidValue);
    EXPECT_NE(std::string(error.what()).find("line 1 and again on line 3"), std::string::npos) << error.what();
  }
  EXPECT_THROW(BatchInput(path("missing")), Error);
}

TEST_F(BatchFilesTest, EveryTornEndIsRepairedAndOnlyWholeLinesCount) {
  const std::string whole = line("a") + "\n" + line("b") + "\n";
  for (size_t cut = 0; cut <= whole.size(); ++cut) {
    write("out", whole.substr(0, cut));
    BatchOutput output(path("out"), false);
    const size_t first = line("a").size() + 1;
    EXPECT_EQ(output.is_done("a"), cut >= first);
    EXPECT_EQ(output.is_done("b"), cut == whole.size());
    output.append(line("c"));
    const std::string kept = cut == whole.size() ? whole : cut >= first ? line("a") + "\n" : "";
    EXPECT_EQ(read("out"), kept + line("c") + "\n") << cut;
  }
}

TEST_F(BatchFilesTest, RetryErrorsForgetsFailedLines) {
  write("out", line("a") + "\n" + line("b", 400) + "\n" + line("c") + "\n");
  {
    const BatchOutput output(path("out"), false);
    EXPECT_EQ(output.num_done(), 3u);
  }
  const BatchOutput output(path("out"), true);
  EXPECT_FALSE(output.is_done("b"));
  EXPECT_EQ(read("out"), line("a") + "\n" + line("c") + "\n");
}

TEST_F(BatchFilesTest, SortsByTheInputsOrder) {
  BatchOutput output(path("out"), false);
  for (const char* id : {"c", "a", "stranger", "b"}) output.append(line(id));
  output.sort({"a", "b", "c"});
  EXPECT_EQ(read("out"), line("a") + "\n" + line("b") + "\n" + line("c") + "\n" + line("stranger") + "\n");
  output.append(line("d"));
  EXPECT_TRUE(read("out").ends_with(line("d") + "\n"));
}

TEST_F(BatchFilesTest, RefusesASecondWriterAndForeignFiles) {
  const BatchOutput first(path("out"), false);
  try {
    BatchOutput second(path("out"), false);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kIoError);
  }
  write("notes", "my shopping list\n");
  EXPECT_THROW(BatchOutput(path("notes"), false), Error);
  EXPECT_EQ(read("notes"), "my shopping list\n");
  write("notes", "my shopping list");  // not taken for a torn line
  EXPECT_THROW(BatchOutput(path("notes"), false), Error);
  EXPECT_EQ(read("notes"), "my shopping list");
  const std::string requests = R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{}})" "\n";
  write("in", requests);  // --output given the input by mistake
  EXPECT_THROW(BatchOutput(path("in"), true), Error);
  EXPECT_EQ(read("in"), requests);
}

TEST_F(BatchFilesTest, AFullDiskLeavesWholeLines) {
  BatchOutput output(path("out"), false);
  output.append(line("a"));
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const rlimit limit{line("a").size() + 20, old.rlim_max};
  setrlimit(RLIMIT_FSIZE, &limit);
  EXPECT_THROW(output.append(line("b")), Error);
  setrlimit(RLIMIT_FSIZE, &old);
  EXPECT_EQ(read("out"), line("a") + "\n");
}

}  // namespace
}  // namespace terrace
