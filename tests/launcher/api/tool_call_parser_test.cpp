#include "launcher/api/tool_call_parser.h"

#include <gtest/gtest.h>

#include <random>

namespace terrace {
namespace {

const std::vector<std::string> kNames = {"f", "g"};

// "content|name(arguments)|name(arguments)", with the text given in pieces of at most `most` bytes.
std::string parsed(ToolCallForm form, std::string_view text, size_t most = std::string::npos, unsigned seed = 0) {
  ToolCallParser parser(form, kNames);
  std::mt19937 random(seed);
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;
  const auto take = [&](const ToolCallText& more) {
    content += more.content;
    for (const ToolCallDelta& delta : more.calls) {
      EXPECT_EQ(delta.name.empty(), static_cast<size_t>(delta.index) < calls.size()) << text;
      if (!delta.name.empty()) calls.emplace_back(delta.name, "");
      calls.at(static_cast<size_t>(delta.index)).second += delta.arguments;
    }
  };
  for (size_t begin = 0; begin < text.size();) {
    const size_t length = most == std::string::npos ? text.size() : 1 + random() % most;
    take(parser.push(text.substr(begin, length)));
    begin += std::min(length, text.size() - begin);
  }
  take(parser.finish());
  EXPECT_EQ(parser.num_calls(), static_cast<int32_t>(calls.size()));
  for (const auto& [name, arguments] : calls) content += "|" + name + "(" + arguments + ")";
  return content;
}

void expect_parsed(ToolCallForm form, const std::string& text, const std::string& expected) {
  EXPECT_EQ(parsed(form, text), expected) << text;
  for (unsigned seed = 0; seed < 20; ++seed) EXPECT_EQ(parsed(form, text, 1 + seed % 7, seed), expected) << "in pieces: " << text;
}

TEST(ToolCallParserTest, ReadsHermesCalls) {
  const auto is = [](const std::string& text, const std::string& expected) { expect_parsed(ToolCallForm::kHermes, text, expected); };
  is("<tool_call>\n{\"name\": \"f\", \"arguments\": {\"a\": \"}\\\"{\", \"b\": [1, {}]}}\n</tool_call>", "|f({\"a\": \"}\\\"{\", \"b\": [1, {}]})");
  is("I'll look.\n\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>{\"name\":\"unknown\",\"arguments\":{\"x\":1}}</tool_call>\n",
     "I'll look.|f({})|unknown({\"x\":1})");
  is("<tool_call>{\"arguments\": {\"x\": 1}, \"name\": \"g\"}</tool_call> done", " done|g({\"x\": 1})");
  is("<tool_call>{\"name\": \"f\"}</tool_call>", "|f({})");
  is("<tool_call>{\"name\": \"f\", \"arguments\": \"{\\\"x\\\": \\\"\\\\n\\\"}\"}</tool_call>", "|f({\"x\": \"\\n\"})");
  is("<tool_call>{\"id\": 1, \"extra\": [\"}\"], \"name\": \"\\u0066\", \"arguments\": null }</tool_call>", "|f(null)");
}

TEST(ToolCallParserTest, TextThatOnlyLooksLikeACallIsContent) {
  const auto is = [](const std::string& text, const std::string& expected) { expect_parsed(ToolCallForm::kHermes, text, expected); };
  for (const char* text : {"", " ", "plain text \n", "a <tool_cal b", "<tool_call", "<tool_call>no object</tool_call> x", "<tool_call>{\"nam", "<tool_call>[1]",
                           "<tool_call>{\"name\": 5, \"arguments\": {}}</tool_call>", "<tool_call>{}", "<tool_call>{\"name\":}", "<tool_call>{\"name\": \"\"}x"}) {
    is(text, text);
  }
}

TEST(ToolCallParserTest, ACallThatIsCutOffKeepsWhatCame) {
  expect_parsed(ToolCallForm::kHermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"city\": \"Par", "|f({\"city\": \"Par)");
  expect_parsed(ToolCallForm::kHermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_", "|f({})");
  expect_parsed(ToolCallForm::kHermes, "<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n<tool_call>\n{\"na", "|f({})");
}

TEST(ToolCallParserTest, ArgumentsGoOnAsTheyCome) {
  ToolCallParser parser(ToolCallForm::kHermes, kNames);
  EXPECT_TRUE(parser.push("<tool_call>\n{\"name\": \"").calls.empty());
  EXPECT_EQ(parser.push("f\", \"arguments\": {\"a\": 1").calls.at(0).name, "f");
  EXPECT_EQ(parser.push("23, ").calls.at(0).arguments, "23, ");
  EXPECT_EQ(parser.push("\"b\": {}}}").calls.at(0).arguments, "\"b\": {}}");
}

TEST(ToolCallParserTest, ReadsLlamaCalls) {
  const auto is = [](const std::string& text, const std::string& expected) { expect_parsed(ToolCallForm::kLlama3, text, expected); };
  is("{\"name\": \"f\", \"parameters\": {\"a\": 1}}", "|f({\"a\": 1})");
  is("\n<|python_tag|>{\"type\": \"function\", \"name\": \"f\", \"parameters\": {}}; {\"name\": \"g\", \"parameters\": {\"b\": []}}", "|f({})|g({\"b\": []})");
  for (const char* text : {"It is {\"name\": \"f\"}", "{\"name\": \"Bob\", \"age\": 5}", "{\"city\": \"Paris\"}", "<|python_tag|>print(1)", " <|python", "{\"name\": \"f"}) {
    is(text, text);
  }
}

TEST(ToolCallParserTest, ReadsMistralCalls) {
  const auto is = [](const std::string& text, const std::string& expected) { expect_parsed(ToolCallForm::kMistral, text, expected); };
  is("[TOOL_CALLS] [{\"name\": \"f\", \"arguments\": {\"a\": \"]\"}}, {\"name\": \"g\", \"arguments\": {}}]", "|f({\"a\": \"]\"})|g({})");
  is("Well, [TOOL_CALLS][{\"name\":\"f\",\"arguments\":{},\"id\":\"abcdefghi\"}]", "Well,|f({})");
  for (const char* text : {"[1, 2]", "[TOOL_CALLS] f", "[TOOL_CALLS", "[TOOL_CALLS] [5]"}) is(text, text);
}

}  // namespace
}  // namespace terrace
