#include "launcher/serve/batch_jobs.h"

#include <fmt/format.h>

#include <chrono>
#include <set>
#include <string>

#include "launcher/api/api_error.h"
#include "launcher/api/json_body.h"
#include "tests/support/serve/served_model_test.h"

namespace terrace {
namespace {

namespace json = boost::json;

class BatchJobsTest : public ServedModelTest {
 protected:
  BatchJobsTest() : folder_(path_ + ".files"), files_(folder_) {}
  ~BatchJobsTest() override { std::filesystem::remove_all(folder_); }

  static BatchJobs::Options options_of(Session& session) {
    BatchJobs::Options options;
    options.context.tokenizer = session.tokenizer();
    options.context.max_sequence_tokens = session.engine().max_sequence_tokens();
    options.model_name = "tiny";
    options.max_in_flight = 2;
    return options;
  }

  /// The id of a file with so many lines.
  std::string input(int lines, int max_tokens) {
    std::string text;
    for (int i = 0; i < lines; ++i) {
      text += fmt::format(R"({{"custom_id":"line-{}","method":"POST","url":"/v1/completions","body":{{"prompt":"ab","max_tokens":{},"ignore_eos":true}}}})" "\n", i, max_tokens);
    }
    return std::string(files_.add("in.jsonl", "batch", text).at("id").as_string());
  }
  static json::object body(const std::string& file) { return {{"input_file_id", file}, {"endpoint", "/v1/completions"}}; }
  static std::string id_of(const json::object& batch) { return std::string(batch.at("id").as_string()); }
  static std::string status(const BatchJobs& jobs, const std::string& id) { return std::string(jobs.find(id)->at("status").as_string()); }

  /// Until the batch's object is as wanted; fails the test after 20 s.
  template <typename Wanted>
  static void wait(const BatchJobs& jobs, const std::string& id, const Wanted& wanted) {
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!wanted(*jobs.find(id)) && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(std::chrono::milliseconds(2));
    EXPECT_TRUE(wanted(*jobs.find(id))) << json::serialize(*jobs.find(id));
  }
  static void wait_for(const BatchJobs& jobs, const std::string& id, const std::string& status) {
    wait(jobs, id, [&status](const json::object& batch) { return batch.at("status").as_string() == status; });
  }
  static bool has_results(const json::object& batch) { return batch.at("request_counts").at("completed").as_int64() > 0; }

  /// The custom_ids of the batch's output; fails the test where one stands there twice.
  std::set<std::string> answered(const json::object& batch) const {
    std::set<std::string> ids;
    const std::string text = files_.content(std::string(batch.at("output_file_id").as_string())).value_or("");
    for (size_t begin = 0; begin < text.size(); begin = text.find('\n', begin) + 1) {
      const json::object line = parse_json_object(std::string_view(text).substr(begin, text.find('\n', begin) - begin), "the line");
      EXPECT_TRUE(ids.insert(std::string(line.at("custom_id").as_string())).second) << text;
    }
    return ids;
  }

  const std::string folder_;
  FileStore files_;
};

TEST_F(BatchJobsTest, AnswersBatchesOneAfterAnother) {
  serve({}, [this](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    const std::string first = id_of(jobs.create(body(input(5, 4)))), second = id_of(jobs.create(body(input(3, 4))));
    wait_for(jobs, second, "completed");
    EXPECT_EQ(status(jobs, first), "completed");
    EXPECT_EQ(answered(*jobs.find(first)).size(), 5u);
    EXPECT_EQ(answered(*jobs.find(second)).size(), 3u);
    EXPECT_EQ(jobs.find(first)->at("request_counts"), (json::object{{"total", 5}, {"completed", 5}, {"failed", 0}}));
    EXPECT_EQ(jobs.list().size(), 2u);
  });
}

TEST_F(BatchJobsTest, CancelledWhileItRunsKeepsWhatWasAnswered) {
  serve({}, [this](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    const std::string running = id_of(jobs.create(body(input(2000, 20)))), waiting = id_of(jobs.create(body(input(3, 4))));
    wait(jobs, running, has_results);
    EXPECT_EQ(jobs.cancel(waiting)->at("status").as_string(), "cancelled");
    EXPECT_EQ(jobs.cancel(running)->at("status").as_string(), "cancelling");
    wait_for(jobs, running, "cancelled");
    const size_t kept = answered(*jobs.find(running)).size();
    EXPECT_GT(kept, 0u);
    EXPECT_LT(kept, 2000u);
    EXPECT_TRUE(jobs.find(waiting)->at("output_file_id").is_null());
    EXPECT_EQ(jobs.cancel(running)->at("status").as_string(), "cancelled");  // again
    EXPECT_FALSE(jobs.cancel("batch-unknown").has_value());
    const std::string next = id_of(jobs.create(body(input(2, 3))));  // what was cancelled stops nobody else
    wait_for(jobs, next, "completed");
  });
}

TEST_F(BatchJobsTest, ALineOfManySequencesLeavesTheQueueToOthersAndCanBeCancelled) {
  std::string text = R"({"custom_id":"many","method":"POST","url":"/v1/completions","body":{"max_tokens":3000,"ignore_eos":true,"n":128,"prompt":["ab","ab","ab","ab","ab","ab","ab","ab"]}})" "\n";
  const std::string file(files_.add("in.jsonl", "batch", text).at("id").as_string());
  serve({.max_queued = 8, .max_in_flight = 1}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    const std::string id = id_of(jobs.create(body(file)));
    while (loop.engine_stats().running == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    Job job;
    job.choices.resize(1);
    job.choices[0].prompt = {1, 2, 3};
    job.choices[0].max_tokens = 1;
    job.mailbox = std::make_shared<Mailbox>([] {});
    EXPECT_NO_THROW(loop.submit(std::move(job)));
    EXPECT_LE(loop.num_queued(), 2u);
    jobs.cancel(id);
    wait_for(jobs, id, "cancelled");
  });
}

TEST_F(BatchJobsTest, AStopStringCountsAsAStop) {
  const std::string line = R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"ab","max_tokens":3000,"ignore_eos":true,"stop":["a","b","c","d","e","f"," "]}})" "\n";
  const std::string file(files_.add("in.jsonl", "batch", line).at("id").as_string());
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    wait_for(jobs, id_of(jobs.create(body(file))), "completed");
  });
  const std::string text = metrics_.text({});
  EXPECT_NE(text.find(R"(terrace_request_success_total{finished_reason="stop"} 1)"), std::string::npos) << text;
  EXPECT_EQ(text.find("abort"), std::string::npos) << text;
}

TEST_F(BatchJobsTest, GoesOnWithTheNextServer) {
  std::string id;
  size_t before = 0;
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    id = id_of(jobs.create(body(input(300, 10))));
    wait(jobs, id, has_results);
  });
  serve({}, [&](EngineLoop& loop, Session& session) {
    FileStore found(folder_);
    for (const json::object& batch : found.load_all("batch")) before = answered(batch).size();
    BatchJobs jobs(found, loop, options_of(session));
    wait_for(jobs, id, "completed");
    EXPECT_EQ(answered(*jobs.find(id)).size(), 300u);
    EXPECT_EQ(jobs.find(id)->at("request_counts"), (json::object{{"total", 300}, {"completed", 300}, {"failed", 0}}));
  });
  EXPECT_GT(before, 0u);
  EXPECT_LT(before, 300u);
}

TEST_F(BatchJobsTest, ACancelThatTheServerDidNotLiveToSeeHoldsInTheNext) {
  std::string id;
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    id = id_of(jobs.create(body(input(2, 2))));
    wait_for(jobs, id, "completed");
    json::object record = *jobs.find(id);
    record["status"] = "cancelling";
    files_.save(id, record);
    std::filesystem::remove(files_.path_of(std::string(record.at("output_file_id").as_string())) + ".json");
  });
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    EXPECT_EQ(status(jobs, id), "cancelled");
    EXPECT_EQ(answered(*jobs.find(id)).size(), 2u);
  });
}

TEST_F(BatchJobsTest, CountsTheFailedLinesOfAServerThatDiedBeforeItSavedThem) {
  const char* lines = R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"ab","max_tokens":1}}
{"custom_id":"b","method":"POST","url":"/v1/completions","body":{"prompt":"ab","max_tokens":-1}}
{"custom_id":"c","method":"POST","url":"/v1/completions","body":{"prompt":1}}
)";
  const std::string file(files_.add("in.jsonl", "batch", lines).at("id").as_string());
  const json::object expected{{"total", 3}, {"completed", 1}, {"failed", 2}};
  std::string id;
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    id = id_of(jobs.create(body(file)));
    wait_for(jobs, id, "completed");
    EXPECT_EQ(jobs.find(id)->at("request_counts"), expected);
    json::object record = *jobs.find(id);
    record["status"] = "in_progress";
    record["request_counts"] = json::object{{"total", 3}, {"completed", 0}, {"failed", 0}};
    files_.save(id, record);
  });
  serve({}, [&](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    wait_for(jobs, id, "completed");
    EXPECT_EQ(jobs.find(id)->at("request_counts"), expected);
  });
}

TEST_F(BatchJobsTest, SaysWhatIsWrong) {
  serve({}, [this](EngineLoop& loop, Session& session) {
    BatchJobs jobs(files_, loop, options_of(session));
    const auto status_of = [&jobs](const json::object& wrong) {
      try {
        jobs.create(wrong);
      } catch (const ApiError& error) {
        return error.status();
      }
      return 0;
    };
    EXPECT_EQ(status_of(body("file-unknown")), 404);
    json::object wrong = body(input(1, 1));
    wrong["endpoint"] = "/v1/moderations";
    EXPECT_EQ(status_of(wrong), 400);
    wrong = body(input(1, 1));
    wrong["completion_window"] = "1h";
    EXPECT_EQ(status_of(wrong), 400);
    EXPECT_TRUE(jobs.list().empty());
    // Lines that name one id twice: the batch fails as a whole, with a sentence.
    const std::string line = R"({"custom_id":"a","method":"POST","url":"/v1/completions","body":{"prompt":"ab","max_tokens":1}})" "\n";
    const std::string id = id_of(jobs.create(body(std::string(files_.add("in.jsonl", "batch", line + line).at("id").as_string()))));
    wait_for(jobs, id, "failed");
    EXPECT_NE(json::serialize(jobs.find(id)->at("errors")).find("custom_id"), std::string::npos);
    EXPECT_TRUE(jobs.find(id)->at("output_file_id").is_null());
  });
}

}  // namespace
}  // namespace terrace
