// A model of random weights, held to a schema by a whole engine: what it writes always parses and follows the schema.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>

#include "kernels/base/error.h"
#include "launcher/grammar/grammar_compiler.h"
#include "launcher/grammar/json_format.h"
#include "runtime/session.h"
#include "runtime/text/utf8.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kSchema = R"({"type": "object", "properties": {
  "name": {"type": "string", "maxLength": 8}, "age": {"type": "integer", "minimum": -5, "maximum": 130}, "kind": {"enum": ["hello", "the", null]},
  "pairs": {"type": "array", "minItems": 1, "maxItems": 3, "items": {"type": "array", "prefixItems": [{"type": "boolean"}, {"type": "string", "pattern": "^[ab]{2}$"}],
  "items": false, "minItems": 2}}}, "required": ["name", "kind", "pairs"], "additionalProperties": false})";

void expect_valid(const std::string& text) {
  json::error_code error;
  const json::value value = json::parse(text, error);
  ASSERT_FALSE(error) << json::serialize(json::string(text));
  const json::object& object = value.as_object();
  for (const auto& member : object) EXPECT_TRUE(json::parse(kSchema).at("properties").as_object().contains(member.key())) << text;
  EXPECT_TRUE(object.at("name").is_string()) << text;
  const int64_t age = object.contains("age") ? object.at("age").as_int64() : 0;
  EXPECT_TRUE(age >= -5 && age <= 130) << text;
  const json::value& kind = object.at("kind");
  EXPECT_TRUE(kind == "hello" || kind == "the" || kind.is_null()) << text;
  const json::array& pairs = object.at("pairs").as_array();
  EXPECT_TRUE(!pairs.empty() && pairs.size() <= 3) << text;
  for (const json::value& pair : pairs) {
    ASSERT_EQ(pair.as_array().size(), 2u) << text;
    EXPECT_TRUE(pair.at(0).is_bool() && pair.at(1).as_string().size() == 2) << text;
  }
}

class ConstrainedAnswersTest : public ::testing::Test {
 protected:
  ConstrainedAnswersTest() {
    vocabulary_ = tiny_bpe("smollm");
    const int32_t size = static_cast<int32_t>(vocabulary_.tokens.size());
    GgufBuilder model = make_tiny_model({.vocab_size = size, .context_length = 2048, .vocabulary = &vocabulary_});
    config_.model.path = folder_.write("tiny.gguf", model.build());
    config_.parallel.threads = 1;
    config_.scheduler.max_sequences = 16;
  }

  // The texts of `num` seeds; a sequence that does not end by itself fails the test.
  void run(int ranks, int num, MemorySize pool, std::map<SequenceId, std::string>& texts, EngineStats& stats) {
    config_.cache.device = pool;
    const int code = run_ranks({.local_ranks = ranks, .spin = false}, [&](RankGroup& group) {
      Session session(config_, group, {.announce = false, .load_progress = {}});
      if (group.rank != 0) return session.follow(), 0;
      GrammarCompiler compiler(*session.tokenizer());
      try {
        const auto grammar = compiler.compile(json_format(json::parse(kSchema)), true);
        for (int seed = 0; seed < num; ++seed) session.engine().submit(request(*session.tokenizer(), *grammar, seed));
        while (session.engine().busy()) collect(session.engine().step(), *session.tokenizer(), texts);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kModelUnsupported) throw;
        without_xgrammar_ = true;
      }
      stats = session.engine().stats();
      session.engine().stop();
      return 0;
    });
    EXPECT_EQ(code, 0);
  }
  static Request request(const Tokenizer& tokenizer, const Grammar& grammar, int seed) {
    Request request;
    request.prompt = tokenizer.encode("hello the");
    request.sampling.seed = static_cast<uint64_t>(seed);
    request.sampling.top_p = seed % 2 == 0 ? 1.0f : 0.9f;
    request.max_tokens = 1500;
    request.stop_tokens = tokenizer.end_tokens();
    request.constraint = grammar.start();
    return request;
  }
  static void collect(const std::vector<SequenceEvent>& events, const Tokenizer& tokenizer, std::map<SequenceId, std::string>& texts) {
    for (const SequenceEvent& event : events) {
      if (event.finish == FinishReason::kNone) texts[event.id] += tokenizer.token_bytes(event.token, false);
      EXPECT_TRUE(event.finish == FinishReason::kNone || event.finish == FinishReason::kStop) << event.error << texts[event.id];
    }
  }

  TinyVocabulary vocabulary_;
  TemporaryFolder folder_;
  Config config_;
  bool without_xgrammar_ = false;
};

TEST_F(ConstrainedAnswersTest, RandomWeightsAlwaysFollowTheSchema) {
  for (const int ranks : {1, 2}) {
    std::map<SequenceId, std::string> texts;
    EngineStats stats;
    run(ranks, 40, {64 << 20, 0}, texts, stats);
    if (without_xgrammar_) GTEST_SKIP() << "built without xgrammar";
    ASSERT_EQ(texts.size(), 40u);
    for (const auto& [id, text] : texts) expect_valid(to_valid_utf8(text));  // as StreamDecoder gives it: a grammar lets surrogates through
  }
}

TEST_F(ConstrainedAnswersTest, PreemptedOnesWriteTheSame) {
  std::map<SequenceId, std::string> calm, pressed;
  EngineStats roomy, tight;
  run(1, 12, {64 << 20, 0}, calm, roomy);
  if (without_xgrammar_) GTEST_SKIP() << "built without xgrammar";
  run(1, 12, {int64_t{100} * 8192, 0}, pressed, tight);
  EXPECT_EQ(roomy.preemptions, 0u);
  EXPECT_GT(tight.preemptions, 0u);
  EXPECT_EQ(pressed, calm);
}

}  // namespace
}  // namespace terrace
