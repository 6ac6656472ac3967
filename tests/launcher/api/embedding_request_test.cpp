#include "launcher/api/embedding_request.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <cmath>
#include <memory>

#include "launcher/api/api_error.h"
#include "launcher/api/base64.h"
#include "launcher/api/embedding_collector.h"
#include "tests/support/runtime/tiny_vocabulary.h"

namespace terrace {
namespace {

namespace json = boost::json;

class EmbeddingRequestTest : public ::testing::Test {
 protected:
  EmbeddingRequestTest() {
    const std::string bytes = tiny_bpe("smollm").bytes();
    tokenizer_ = make_tokenizer(GgufFile::parse(std::as_bytes(std::span(bytes)), "tiny.gguf"));
    context_.tokenizer = tokenizer_.get();
    context_.max_sequence_tokens = 10;
    context_.hidden_size = 4;
    context_.serving = true;
  }

  EmbeddingRequest read(const std::string& fields) const { return read_embedding_request(json::parse("{" + fields + "}").as_object(), context_); }
  void refused(const std::string& fields, const std::string& param, const std::string& message) const {
    try {
      read(fields);
      FAIL() << "expected a complaint about " << param << ": " << fields;
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 400);
      EXPECT_EQ(error.body().at("error").as_object().at("param").as_string(), param) << error.what();
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  CompletionContext context_;
};

TEST_F(EmbeddingRequestTest, TakesTextsAndTokenIdsOneOrMany) {
  const std::vector<int32_t> hello = tokenizer_->encode("hello");
  const std::vector<std::vector<int32_t>> ids = {{1, 2, 3}, {4}};
  EXPECT_EQ(read(R"("input": "hello")").inputs, (std::vector<std::vector<int32_t>>{hello}));
  EXPECT_EQ(read(R"("input": ["hello", "the", "hello"])").inputs, (std::vector<std::vector<int32_t>>{hello, tokenizer_->encode("the"), hello}));
  EXPECT_EQ(read(R"("input": [1, 2, 3])").inputs, (std::vector<std::vector<int32_t>>{ids[0]}));
  EXPECT_EQ(read(R"("input": [[1, 2, 3], [4]])").inputs, ids);
}

TEST_F(EmbeddingRequestTest, ChoicesAreTheInputsWithoutAnAnswer) {
  context_.pooling = Pooling::kLast;
  const EmbeddingRequest request = read(R"("input": [[1, 2], [3]], "cache_salt": "s", "cache_priority": 3)");
  ASSERT_EQ(request.num_choices(), 2);
  const Request choice = request.choice(1);
  EXPECT_EQ(choice.prompt, (std::vector<int32_t>{3}));
  EXPECT_EQ(choice.max_tokens, 0);
  EXPECT_EQ(choice.pooling, Pooling::kLast);
  EXPECT_EQ(choice.cache_salt, "s");
  EXPECT_EQ(choice.cache_priority, 3);
  EXPECT_EQ(read(R"("input": "a", "pooling": "mean")").choice(0).pooling, Pooling::kMean);
}

TEST_F(EmbeddingRequestTest, ReadsHowTheVectorIsWanted) {
  const EmbeddingRequest plain = read(R"("input": "a", "model": "m", "user": "u", "dimensions": null, "encoding_format": null, "pooling": null)");
  EXPECT_EQ(plain.model, "m");
  EXPECT_EQ(plain.dimensions, 4);
  EXPECT_FALSE(plain.base64);
  const EmbeddingRequest other = read(R"("input": "a", "dimensions": 3, "encoding_format": "base64", "priority": -2, "timeout": 1.5)");
  EXPECT_EQ(other.dimensions, 3);
  EXPECT_TRUE(other.base64);
  EXPECT_EQ(other.queueing.priority, -2);
  EXPECT_EQ(other.queueing.timeout_seconds, 1.5);
  context_.serving = false;
  refused(R"("input": "a", "priority": 1)", "priority", "unknown field");
}

TEST_F(EmbeddingRequestTest, SaysWhatIsWrong) {
  refused("", "input", "given");
  refused(R"("input": "")", "input", "at least one token");
  refused(R"("input": [])", "input", "at least one token");
  refused(R"("input": ["a", ""])", "input", "at least one token");
  refused(R"("input": [[]])", "input", "at least one token");
  refused(R"("input": 5)", "input", "a string, an array of token ids");
  refused(R"("input": {"text": "a"})", "input", "a string, an array of token ids");
  refused(R"("input": [1, "a"])", "input", "made of token ids");
  refused(R"("input": [-1])", "input", "token ids from 0 to ");
  refused(R"("input": [[1], [1,1,1,1,1,1,1,1,1,1,1]])", "input", "1 is 11 tokens long, and at most 10");
  std::string many = "[0]";
  for (int i = 0; i < 2048; ++i) many += ",[0]";
  refused(fmt::format(R"("input": [{}])", many), "input", "at most 2048, not of 2049");
  refused(R"("input": "a", "dimensions": 5)", "dimensions", "from 1 to 4");
  refused(R"("input": "a", "dimensions": 0)", "dimensions", "from 1 to 4");
  refused(R"("input": "a", "encoding_format": "hex")", "encoding_format", "base64");
  refused(R"("input": "a", "pooling": "max")", "pooling", "mean");
  refused(R"("input": "a", "temperature": 1)", "temperature", "unknown field");
}

SequenceEvent pooled(std::vector<float> vector) {
  SequenceEvent event;
  event.finish = FinishReason::kStop;
  event.pooled = std::move(vector);
  return event;
}

TEST_F(EmbeddingRequestTest, AnswersInOpenAisShapeWithVectorsOfLengthOne) {
  const EmbeddingRequest request = read(R"("input": [[1, 2], [3]])");
  EmbeddingCollector collector(request);
  EXPECT_FALSE(collector.accept(1, pooled({0, 0, 0, -2})));
  EXPECT_FALSE(collector.done());
  EXPECT_FALSE(collector.accept(0, pooled({3, 0, 4, 0})));
  EXPECT_TRUE(collector.done());
  json::object answer = collector.response("id", "m", 1);
  const std::vector<std::vector<float>> expected = {{0.6f, 0, 0.8f, 0}, {0, 0, 0, -1}};
  for (size_t i = 0; i < 2; ++i) {
    json::object& item = answer.at("data").at(i).as_object();
    for (size_t k = 0; k < 4; ++k) EXPECT_FLOAT_EQ(item.at("embedding").at(k).to_number<float>(), expected[i][k]);
    item["embedding"] = nullptr;
  }
  EXPECT_EQ(json::value(answer), json::parse(R"({"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": null},
    {"object": "embedding", "index": 1, "embedding": null}], "usage": {"prompt_tokens": 3, "total_tokens": 3}})"));
}

TEST_F(EmbeddingRequestTest, CutsToDimensionsAndWritesBase64) {
  const EmbeddingRequest request = read(R"("input": "a", "dimensions": 2, "encoding_format": "base64")");
  EmbeddingCollector collector(request);
  collector.accept(0, pooled({0, -5, 7, 9}));
  const float expected[] = {0.0f, -1.0f};  // 00 00 00 00, 00 00 80 bf
  EXPECT_EQ(collector.response("", "m", 0).at("data").at(0).at("embedding"), "AAAAAAAAgL8=");
  EXPECT_EQ(to_base64(std::as_bytes(std::span(expected))), "AAAAAAAAgL8=");
}

TEST_F(EmbeddingRequestTest, ATextThatTheEngineRefusesIsTheClientsError) {
  const EmbeddingRequest request = read(R"("input": "a")");
  EmbeddingCollector collector(request);
  SequenceEvent event;
  event.finish = FinishReason::kError;
  event.error = "too long";
  EXPECT_THROW(collector.accept(0, event), ApiError);
}

// RFC 4648, section 10.
TEST(Base64Test, WritesTheRfcsExamples) {
  const std::pair<std::string, std::string> examples[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : examples) EXPECT_EQ(to_base64(std::as_bytes(std::span(bytes))), text);
  EXPECT_EQ(to_base64(std::as_bytes(std::span("\xff\xfb\xf0", 3))), "//vw");
}

}  // namespace
}  // namespace terrace
