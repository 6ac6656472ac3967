#include "launcher/api/openapi.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/json.hpp>
#include <set>

#include "launcher/api/api_error.h"
#include "launcher/api/completion_request.h"
#include "launcher/api/embedding_request.h"
#include "launcher/http/api_service.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

TEST(OpenApiTest, DescribesTheRoutesThatThereAre) {
  const json::value document = json::parse(openapi_document());
  std::set<std::string> described;
  for (const auto& [path, operations] : document.at("paths").as_object()) {
    for (const auto& [method, operation] : operations.as_object()) {
      std::string name(method);
      std::ranges::transform(name, name.begin(), [](char c) { return static_cast<char>(c - 'a' + 'A'); });
      described.insert(name + " " + std::string(path));
    }
  }
  const std::vector<std::string> paths = ApiService::paths();
  EXPECT_EQ(described, std::set<std::string>(paths.begin(), paths.end()));
}

TEST(OpenApiTest, DescribesThePagesOfLists) {
  const json::value document = json::parse(openapi_document());
  const auto parameters = [&document](const char* path) {
    std::set<std::string> names;
    for (const json::value& parameter : document.at("paths").at(path).at("get").at("parameters").as_array()) names.emplace(parameter.at("name").as_string());
    return names;
  };
  EXPECT_EQ(parameters("/v1/files"), (std::set<std::string>{"after", "limit", "purpose"}));
  EXPECT_EQ(parameters("/v1/batches"), (std::set<std::string>{"after", "limit"}));
}

// Each property alone, as what none of them may be: no field that the document names may be unknown to the reader.
TEST(OpenApiTest, NamesOnlyFieldsThatAreRead) {
  const json::value document = json::parse(openapi_document());
  const std::string bytes = tiny_bpe("smollm").bytes();
  const auto tokenizer = make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
  CompletionContext context;
  context.tokenizer = tokenizer.get();
  context.max_sequence_tokens = 100;
  context.hidden_size = 4;
  context.serving = true;
  const ChatTemplate chat_template("{{ messages[0].content }}a", "", "");
  context.chat_template = &chat_template;
  const std::pair<const char*, Endpoint> requests[] = {
      {"CompletionRequest", Endpoint::kCompletions}, {"ChatRequest", Endpoint::kChatCompletions}, {"EmbeddingRequest", Endpoint::kEmbeddings}};
  for (const auto& [name, endpoint] : requests) {
    for (const auto& [field, schema] : document.at("components").at("schemas").at(name).at("properties").as_object()) {
      json::object body;
      if (endpoint == Endpoint::kCompletions) {
        body["prompt"] = "a";
      } else if (endpoint == Endpoint::kEmbeddings) {
        body["input"] = "a";
      } else {
        body["messages"] = json::array{json::object{{"role", "user"}, {"content", "a"}}};
      }
      body.emplace(field, json::array{json::array()});
      try {
        endpoint == Endpoint::kEmbeddings ? (void)read_embedding_request(body, context) : (void)read_completion_request(endpoint, body, context);
      } catch (const ApiError& error) {
        EXPECT_NE(error.body().at("error").at("code"), "unknown_key") << name << "." << field;
      }
    }
  }
}

}  // namespace
}  // namespace terrace
