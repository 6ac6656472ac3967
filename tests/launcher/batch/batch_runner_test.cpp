#include "launcher/batch/batch_runner.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <set>

#include "kernels/base/error.h"
#include "launcher/api/json_body.h"
#include "runtime/session.h"
#include "tests/support/runtime/tiny_model.h"

namespace terrace {
namespace {

namespace json = boost::json;

constexpr const char* kChatTemplate = "{% for m in messages %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}<|im_start|>";

std::string completion(const std::string& id, const std::string& fields) {
  return R"({"custom_id":")" + id + R"(","method":"POST","url":"/v1/completions","body":{)" + fields + "}}\n";
}

// Good lines of every kind, and between them those that must fail alone.
std::string mixed_input() {
  return completion("greedy", R"("prompt":"hello the","max_tokens":5,"temperature":0)") +
         R"({"custom_id":"chat","method":"POST","url":"/v1/chat/completions","body":{"messages":[{"role":"user","content":"ab"}],"max_tokens":6}})" "\n" +
         "{\"custom_id\":\"torn\n" +
         completion("unknown", R"("prompt":"a","max_token":5)") +
         completion("choices", R"("prompt":["ab","the"],"n":2,"max_tokens":4,"return_token_ids":true)") +
         "\n" +
         completion("scored", R"("prompt":"hello the hello","max_tokens":0,"echo":true,"logprobs":2)") +
         completion("long", R"("prompt":["ab","the"],"n":2,"max_tokens":100000)") +
         R"({"custom_id":"url","method":"POST","url":"/v1/moderations","body":{}})" "\n" +
         R"({"custom_id":"vectors","method":"POST","url":"/v1/embeddings","body":{"input":["ab","the"],"dimensions":8}})" "\n" +
         R"({"custom_id":"wide","method":"POST","url":"/v1/embeddings","body":{"input":"ab","dimensions":65}})" "\n" +
         R"({"custom_id":"method","method":"GET","url":"/v1/completions","body":{"prompt":"a"}})" "\n" +
         R"({"custom_id":"body","method":"POST","url":"/v1/completions"})" "\n" +
         R"({"custom_id":"extra","method":"POST","url":"/v1/completions","body":{"prompt":"a"},"prioriti":1})" "\n" +
         R"({"method":"POST","url":"/v1/completions","body":{"prompt":"a"}})" "\n" +
         completion("last", R"("prompt":"1 2","max_tokens":3,"min_tokens":3,"logit_bias":{"97":50})");
}

constexpr int64_t kNumLines = 15;
constexpr int64_t kNumFailed = 9;

class BatchRunnerTest : public ::testing::Test {
 protected:
  BatchRunnerTest() {
    const TinyVocabulary vocabulary = tiny_bpe("smollm");
    GgufBuilder model = make_tiny_model({.vocab_size = static_cast<int32_t>(vocabulary.tokens.size()), .vocabulary = &vocabulary});
    model.add_string("tokenizer.chat_template", kChatTemplate);
    config_.model.path = folder_.write("tiny.gguf", model.build());
    config_.parallel.threads = 1;
    config_.cache.device = {1 << 20, 0};
    config_.scheduler.max_sequences = 4;
    output_path_ = folder_.path() + "/out.jsonl";
  }

  // Loads the model once for all that `body` does.
  void with_session(const std::function<void(Session&)>& body) {
    const int code = run_ranks({.spin = false}, [&](RankGroup& group) {
      Session session(config_, group, {.announce = false, .load_progress = {}});
      body(session);
      session.engine().stop();
      return 0;
    });
    EXPECT_EQ(code, 0);
  }

  BatchSummary run(Session& session, const std::string& input_text, bool retry_errors = false) {
    folder_.write("in.jsonl", input_text);
    return run_files(session, retry_errors);
  }
  // Of in.jsonl as it is.
  BatchSummary run_files(Session& session, bool retry_errors) {
    const BatchInput input(folder_.path() + "/in.jsonl");
    BatchOutput output(output_path_, retry_errors);
    BatchRunner::Options options;
    options.context.tokenizer = session.tokenizer();
    options.context.chat_template = session.chat_template();
    options.context.max_sequence_tokens = session.engine().max_sequence_tokens();
    options.context.hidden_size = session.model().hidden_size;
    options.model_name = "tiny";
    options.max_in_flight = 3;
    options.signal = &signal_;
    Progress progress(ProgressMode::kNone);
    EngineRunner engine(session.engine());
    return BatchRunner(engine, input, output, options).run(progress);
  }

  std::string output() const {
    std::ifstream in(output_path_, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void set_output(const std::string& text) { folder_.write("out.jsonl", text); }

  // By custom_id, without the one field that depends on the clock. Fails on an id that stands there twice.
  static std::map<std::string, json::object> results(const std::string& text) {
    std::map<std::string, json::object> by_id;
    for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
      json::object line = parse_json_object(std::string_view(text).substr(begin, text.find('\n', begin) - begin), "the line");
      if (json::value* response = line.if_contains("response"); response->is_object()) {
        response->as_object().at("body").as_object().erase("created");
      }
      const std::string id = custom_id_of(line);
      EXPECT_TRUE(by_id.emplace(id, std::move(line)).second) << id;
    }
    return by_id;
  }
  static json::value at(const std::map<std::string, json::object>& results, const std::string& id, const std::string& pointer) {
    const auto it = results.find(id);
    if (it == results.end()) return "missing";
    json::error_code error;
    const json::value line = it->second;
    const json::value* found = line.find_pointer(pointer, error);
    return found == nullptr ? json::value("missing") : *found;
  }

  TemporaryFolder folder_;
  Config config_;
  std::string output_path_;
  std::atomic<int> signal_ = 0;
};

TEST_F(BatchRunnerTest, AnswersEveryLineAndFailsBrokenOnesAlone) {
  with_session([&](Session& session) {
    const BatchSummary summary = run(session, mixed_input());
    EXPECT_EQ(summary.num_lines, kNumLines);
    EXPECT_EQ(summary.num_written, kNumLines);
    EXPECT_EQ(summary.num_failed, kNumFailed);
    EXPECT_FALSE(summary.interrupted);
  });
  const auto lines = results(output());
  EXPECT_EQ(lines.size(), static_cast<size_t>(kNumLines));
  const std::string body = "/response/body";
  for (const char* good : {"greedy", "chat", "choices", "scored", "vectors", "last"}) {
    EXPECT_EQ(at(lines, good, "/response/status_code"), 200) << good;
    EXPECT_TRUE(at(lines, good, "/error").is_null());
    EXPECT_EQ(at(lines, good, body + "/model"), "tiny");
  }
  const std::pair<const char*, const char*> refused[] = {{"unknown", "max_token"}, {"long", "prompt"}, {"url", "url"}, {"wide", "dimensions"},
                                                         {"method", "method"},     {"body", "body"},   {"extra", "prioriti"}};
  for (const auto& [id, param] : refused) {
    EXPECT_EQ(at(lines, id, "/response/status_code"), 400) << id;
    EXPECT_EQ(at(lines, id, body + "/error/param"), param) << id;
    EXPECT_TRUE(at(lines, id, "/error").is_null());
  }
  for (const char* unreadable : {"line:3", "line:15"}) {
    EXPECT_TRUE(at(lines, unreadable, "/response").is_null()) << unreadable;
    EXPECT_EQ(at(lines, unreadable, "/error/code"), "invalid_value") << unreadable;
  }
  EXPECT_EQ(at(lines, "greedy", body + "/usage/completion_tokens"), 5);
  EXPECT_EQ(at(lines, "choices", body + "/choices").as_array().size(), 4u);
  EXPECT_EQ(at(lines, "scored", body + "/choices/0/text"), "hello the hello");
  EXPECT_EQ(at(lines, "scored", body + "/choices/0/logprobs/token_logprobs").as_array().size(), 3u);
  EXPECT_EQ(at(lines, "vectors", body + "/data/1/embedding").as_array().size(), 8u);
  EXPECT_EQ(at(lines, "vectors", body + "/usage/prompt_tokens"), at(lines, "vectors", body + "/usage/total_tokens"));
  EXPECT_EQ(at(lines, "last", body + "/choices/0/text"), "aaa");  // biased
}

TEST_F(BatchRunnerTest, GoesOnFromEveryPrefixOfTheOutput) {
  with_session([&](Session& session) {
    run(session, mixed_input());
    const std::string whole = output();
    const auto expected = results(whole);
    std::set<size_t> cuts = {0, whole.size()};
    for (size_t end = whole.find('\n'); end != std::string::npos; end = whole.find('\n', end + 1)) {
      cuts.insert({end / 2, end - 1, end, end + 1, end + 2, end + 30});
    }
    for (const size_t cut : cuts) {
      SCOPED_TRACE(cut);
      set_output(whole.substr(0, cut));
      run(session, mixed_input());
      EXPECT_EQ(results(output()), expected);  // sampled texts too: a line's seed is its custom_id's
    }
  });
}

TEST_F(BatchRunnerTest, AFullDiskLeavesWholeLinesAndTheRestIsDoneLater) {
  std::signal(SIGXFSZ, SIG_IGN);
  with_session([&](Session& session) {
    run(session, mixed_input());
    const std::string whole = output();
    const auto expected = results(whole);
    rlimit old{};
    getrlimit(RLIMIT_FSIZE, &old);
    for (size_t room = 0; room < whole.size(); room += 331) {
      SCOPED_TRACE(room);
      set_output("");
      const rlimit limit{room, old.rlim_max};
      setrlimit(RLIMIT_FSIZE, &limit);
      try {
        run_files(session, false);
        ADD_FAILURE() << "the disk was full";
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::kIoError);
      }
      setrlimit(RLIMIT_FSIZE, &old);
      const std::string kept = output();
      EXPECT_TRUE(kept.empty() || kept.ends_with('\n'));
      while (session.engine().busy()) session.engine().step();  // a process would have ended
      run(session, mixed_input());
      EXPECT_EQ(results(output()), expected);
      EXPECT_TRUE(output().starts_with(kept));
    }
  });
}

TEST_F(BatchRunnerTest, StopsAtASignalAndGoesOnLater) {
  with_session([&](Session& session) {
    signal_ = SIGINT;
    const BatchSummary stopped = run(session, mixed_input());
    EXPECT_TRUE(stopped.interrupted);
    EXPECT_EQ(stopped.num_written, 0);
    signal_ = 0;
    const BatchSummary rest = run(session, mixed_input());
    EXPECT_FALSE(rest.interrupted);
    EXPECT_EQ(rest.num_written, kNumLines);
  });
}

TEST_F(BatchRunnerTest, RetriesFailedLinesOnlyWhenAsked) {
  with_session([&](Session& session) {
    run(session, mixed_input());
    EXPECT_EQ(run(session, mixed_input()).num_skipped, kNumLines);
    const BatchSummary again = run(session, mixed_input(), true);
    EXPECT_EQ(again.num_skipped, kNumLines - kNumFailed);
    EXPECT_EQ(again.num_failed, kNumFailed);
    std::string repaired = mixed_input();
    repaired.replace(repaired.find("\"max_token\""), 11, "\"max_tokens\"");
    EXPECT_EQ(run(session, repaired, true).num_failed, kNumFailed - 1);
    EXPECT_EQ(at(results(output()), "unknown", "/response/status_code"), 200);
  });
}

}  // namespace
}  // namespace terrace
