// The load generator against a server in this process that answers as it is told to.
#include "launcher/http/load_generator.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/json.hpp>
#include <map>
#include <optional>

#include "kernels/base/error.h"
#include "launcher/http/http_server.h"

namespace terrace {
namespace {

namespace asio = boost::asio;
namespace json = boost::json;

/// Streams as many words as are asked for; a prompt that is one of the faults' names gets that.
class StubServer {
 public:
  StubServer() : server_({.threads = 2}, [this](Exchange& exchange) { return answer(exchange); }) {}

  StreamClient client(std::chrono::milliseconds timeout = std::chrono::seconds(20)) const {
    return StreamClient({.url = parse_url("127.0.0.1:" + std::to_string(server_.port())), .api_key = "secret", .timeout = timeout});
  }
  int32_t most_at_a_time() const { return most_; }
  int64_t answered() const { return answered_; }

 private:
  // One answer under way; ended before its last bytes go out, after which the client may send the next request.
  class UnderWay {
   public:
    explicit UnderWay(std::atomic<int32_t>& count) : count_(&count) { ++count; }
    ~UnderWay() { end(); }
    UnderWay(const UnderWay&) = delete;
    UnderWay& operator=(const UnderWay&) = delete;
    void end() {
      if (count_ != nullptr) --*count_;
      count_ = nullptr;
    }

   private:
    std::atomic<int32_t>* count_;
  };

  asio::awaitable<void> answer(Exchange& exchange) {
    UnderWay under_way(running_);
    const int32_t at_a_time = running_;
    for (int32_t most = most_; at_a_time > most && !most_.compare_exchange_weak(most, at_a_time);) {
    }
    try {
      co_await stream(exchange, under_way);
    } catch (const boost::system::system_error&) {
    }
    ++answered_;
  }

  asio::awaitable<void> stream(Exchange& exchange, UnderWay& under_way) {
    if (exchange.request()[boost::beast::http::field::authorization] != "Bearer secret") {
      Reply reply{.status = 401, .body = R"({"error": {"message": "no key"}})"};
      co_return co_await exchange.reply(std::move(reply));
    }
    if (exchange.path() == "/v1/models") {
      Reply reply{.status = 200, .body = R"({"data": [{"id": "stub"}]})"};
      co_return co_await exchange.reply(std::move(reply));
    }
    const json::object body = json::parse(exchange.request().body()).as_object();
    const std::string prompt(body.at("prompt").as_string());
    if (prompt == "refuse") {
      Reply reply{.status = 429, .body = R"({"error": {"message": "too many"}})"};
      co_return co_await exchange.reply(std::move(reply));
    }
    std::string type = "text/event-stream";
    co_await exchange.begin_stream(std::move(type));
    asio::steady_timer pause(exchange.executor());
    const int64_t words = body.at("max_tokens").as_int64();
    for (int64_t i = 0; i < words; ++i) {
      pause.expires_after(prompt == "hang" ? std::chrono::seconds(60) : std::chrono::milliseconds(1));
      co_await pause.async_wait(asio::use_awaitable);
      std::string piece = prompt == "html" ? "data: <html>\n\n" : ": hello\n\ndata: {\"choices\": [{\"text\": \"w\"}]}\n\n";
      co_await exchange.send_piece(std::move(piece));
    }
    std::string end = prompt == "error" ? "data: {\"error\": {\"message\": \"a rank was lost\"}}\n\n"
                                        : "data: {\"choices\": [], \"usage\": {\"prompt_tokens\": 7, \"completion_tokens\": 40}}\n\ndata: [DONE]\n\n";
    under_way.end();
    if (prompt != "stop") co_await exchange.send_piece(std::move(end));
    co_await exchange.end_stream();
  }

  std::atomic<int32_t> running_ = 0, most_ = 0;
  std::atomic<int64_t> answered_ = 0;
  HttpServer server_;
};

class Prompts final : public LoadSource {
 public:
  explicit Prompts(std::vector<std::string> prompts, std::optional<double> gap = {}) : prompts_(std::move(prompts)), gap_(gap) {}
  std::optional<int64_t> size() const override { return static_cast<int64_t>(prompts_.size()); }
  LoadRequest request(int64_t number) const override {
    const json::object body{{"prompt", prompts_[static_cast<size_t>(number) % prompts_.size()]}, {"max_tokens", 4}};
    LoadRequest request{.path = "/v1/completions", .body = json::serialize(body), .at_seconds = {}};
    if (gap_) request.at_seconds = static_cast<double>(number) * *gap_;
    return request;
  }

 private:
  std::vector<std::string> prompts_;
  std::optional<double> gap_;
};

bool keep_on(const LoadProgress&) { return true; }

TEST(LoadGeneratorTest, AFixedConcurrencyIsKeptAndPiecesAreTimed) {
  StubServer server;
  StreamClient client = server.client();
  const LoadResult result = run_load(client, Prompts({"a", "b"}), {.concurrency = 3, .rate = {}, .requests = 12, .seconds = {}}, keep_on);
  ASSERT_EQ(result.outcomes.size(), 12u);
  EXPECT_EQ(server.most_at_a_time(), 3);
  for (const LoadOutcome& outcome : result.outcomes) {
    EXPECT_EQ(outcome.error, "") << outcome.detail;
    EXPECT_EQ(outcome.prompt_tokens, 7);
    EXPECT_EQ(outcome.output_tokens, 40);  // the server's word, whatever pieces there are
    ASSERT_EQ(outcome.gaps.size(), 3u);
    for (const double gap : outcome.gaps) EXPECT_GE(gap, 0);
    EXPECT_GE(outcome.time_to_first(), 0.001);
    EXPECT_GE(outcome.ended, *outcome.first_piece);
  }
  ASSERT_EQ(result.client_pieces.size(), 3u);
  EXPECT_EQ(result.client_pieces[0] + result.client_pieces[1] + result.client_pieces[2], 48);
}

TEST(LoadGeneratorTest, ErrorsAreToldApartAndTheOthersGoOn) {
  StubServer server;
  StreamClient client = server.client(std::chrono::seconds(5));
  const LoadResult result = run_load(client, Prompts({"fine", "refuse", "error", "stop", "html", "hang"}), {.concurrency = 6, .rate = {}, .requests = 6, .seconds = {}}, keep_on);
  std::map<std::string, std::string> seen;
  for (const LoadOutcome& outcome : result.outcomes) seen[outcome.error] = outcome.detail;
  const std::map<std::string, std::string> expected = {{"", ""},
                                                       {"HTTP 429", "too many"},
                                                       {"error event", seen["error event"]},  // of two: their order is chance
                                                       {"the stream ended before its end mark", ""},
                                                       {"timeout", ""}};
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(result.outcomes.size(), 6u);
}

TEST(LoadGeneratorTest, ARateDoesNotWaitForAnswers) {
  StubServer server;
  StreamClient client = server.client();
  const LoadResult result = run_load(client, Prompts({"a"}), {.concurrency = {}, .rate = 200, .requests = 50, .seconds = {}}, keep_on);
  ASSERT_EQ(result.outcomes.size(), 50u);
  EXPECT_TRUE(result.client_pieces.empty());
  EXPECT_GT(server.most_at_a_time(), 1);
  for (const LoadOutcome& outcome : result.outcomes) {
    EXPECT_EQ(outcome.error, "") << outcome.detail;
    EXPECT_GE(outcome.started, outcome.due);
  }
}

TEST(LoadGeneratorTest, ASourcesTimesAreKeptAndADurationEndsThem) {
  StubServer server;
  StreamClient client = server.client();
  const LoadResult result = run_load(client, Prompts({"a", "b", "c"}, 0.05), {.concurrency = {}, .rate = {}, .requests = {}, .seconds = 0.12}, keep_on);
  ASSERT_EQ(result.outcomes.size(), 3u);  // at 0, 0.05 and 0.1
  for (const LoadOutcome& outcome : result.outcomes) EXPECT_GE(outcome.started, outcome.due);
}

TEST(LoadGeneratorTest, AnInterruptLeavesWhatHasEnded) {
  StubServer server;
  StreamClient client = server.client();
  const auto until_some = [](const LoadProgress& progress) { return progress.ended < 2; };
  const LoadResult result = run_load(client, Prompts({"a", "hang"}), {.concurrency = 4, .rate = {}, .requests = 1000, .seconds = {}}, until_some);
  EXPECT_GE(result.outcomes.size(), 2u);
  EXPECT_LT(result.outcomes.size(), 1000u);
}

TEST(LoadGeneratorTest, AServerThatIsNotThereIsAnErrorOfEachRequest) {
  std::optional<StubServer> server(std::in_place);
  StreamClient client = server->client();
  EXPECT_EQ(client.get("/v1/models"), R"({"data": [{"id": "stub"}]})");
  EXPECT_THROW(client.get("/v1/none"), std::exception);
  server.reset();
  const LoadResult result = run_load(client, Prompts({"a"}), {.concurrency = 1, .rate = {}, .requests = 2, .seconds = {}}, keep_on);
  ASSERT_EQ(result.outcomes.size(), 2u);
  EXPECT_EQ(result.outcomes[0].error, "no connection");
  EXPECT_THROW(client.get("/v1/models"), Error);
}

}  // namespace
}  // namespace terrace
