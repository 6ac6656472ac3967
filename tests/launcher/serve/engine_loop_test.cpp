#include "launcher/serve/engine_loop.h"

#include <gtest/gtest.h>

#include <csignal>
#include <functional>
#include <semaphore>

#include "kernels/base/clock.h"
#include "tests/support/serve/served_model_test.h"

namespace terrace {
namespace {

// A mailbox that a test waits at. The step thread may still wake a box whose last mail has been taken: the semaphore is the mailbox's too.
struct Box {
  Box() : mailbox(std::make_shared<Mailbox>([came = mail_came] { came->release(); })) {}

  /// Takes mail until `enough` of it has come.
  void read(const std::function<bool(const Box&)>& enough) {
    while (!enough(*this)) {
      ASSERT_TRUE(mail_came->try_acquire_for(std::chrono::seconds(20))) << "no mail in 20 s";
      Mailbox::Mail mail = mailbox->take();
      for (const Mailbox::Item& item : mail.items) {
        if (item.event.token >= 0) ++num_tokens;
        if (item.event.finish != FinishReason::kNone) ++num_ended;
        last = item.event.finish;
      }
      if (mail.error) status = mail.error->status();
    }
  }
  void read_to_end(int choices = 1) {
    read([choices](const Box& box) { return box.num_ended == choices || box.status != 0; });
  }

  std::shared_ptr<std::counting_semaphore<>> mail_came = std::make_shared<std::counting_semaphore<>>(0);
  std::shared_ptr<Mailbox> mailbox;
  int num_tokens = 0;
  int num_ended = 0;
  int status = 0;  // of the error
  FinishReason last = FinishReason::kNone;
};

class EngineLoopTest : public ServedModelTest {
 protected:
  static Job job(const Box& box, int32_t max_tokens, int32_t choices = 1) {
    Job result;
    for (int32_t i = 0; i < choices; ++i) {
      Request request;
      request.prompt = {1, 2, 3};
      request.max_tokens = max_tokens;
      request.sampling.choice = static_cast<uint32_t>(i);
      result.choices.push_back(request);
    }
    result.owner = "a";
    result.mailbox = box.mailbox;
    return result;
  }
};

TEST_F(EngineLoopTest, AnswersEveryChoice) {
  serve({}, [](EngineLoop& loop) {
    Box box;
    loop.submit(job(box, 5, 3));
    box.read_to_end(3);
    EXPECT_EQ(box.num_tokens, 15);
    EXPECT_EQ(box.last, FinishReason::kLength);
    EXPECT_EQ(loop.engine_stats().generated_tokens, 15u);
  });
}

TEST_F(EngineLoopTest, CancelsWhatRunsAndWhatWaitsAndNothingElse) {
  serve({.max_in_flight = 1}, [](EngineLoop& loop) {
    Box running, waiting, other;
    const JobId first = loop.submit(job(running, 4000));
    const JobId second = loop.submit(job(waiting, 4000));
    loop.submit(job(other, 3));
    running.read([](const Box& box) { return box.num_tokens >= 2; });
    loop.cancel(second);
    loop.cancel(first);
    other.read_to_end();
    EXPECT_EQ(other.num_tokens, 3);
    EXPECT_TRUE(waiting.mailbox->empty());
    loop.cancel(first);  // long gone
  });
  EXPECT_NE(metrics_.text({}).find(R"(terrace_request_success_total{finished_reason="abort"} 2)"), std::string::npos) << metrics_.text({});
}

TEST_F(EngineLoopTest, CancelsOneChoiceAlone) {
  serve({}, [](EngineLoop& loop) {
    Box box;
    const JobId id = loop.submit(job(box, 400, 2));
    box.read([](const Box& at) { return at.num_tokens >= 2; });
    loop.cancel_choice(id, 0);
    box.read([](const Box& at) { return at.num_ended == 1; });
    EXPECT_LT(box.num_tokens, 800);
    EXPECT_GE(box.num_tokens, 400);
  });
}

TEST_F(EngineLoopTest, RefusesWhatTheQueueHasNoRoomFor) {
  serve({.max_queued = 2, .max_in_flight = 1}, [](EngineLoop& loop) {
    Box boxes[4];
    const JobId first = loop.submit(job(boxes[0], 4000));
    boxes[0].read([](const Box& box) { return box.num_tokens >= 1; });
    loop.submit(job(boxes[1], 1));
    loop.submit(job(boxes[2], 1));
    try {
      loop.submit(job(boxes[3], 1));
      ADD_FAILURE() << "a third request was queued";
    } catch (const ApiError& error) {
      EXPECT_EQ(error.status(), 429);
    }
    EXPECT_GE(loop.retry_after_seconds(), 1);
    loop.cancel(first);
    boxes[1].read_to_end();
    boxes[2].read_to_end();
  });
}

TEST_F(EngineLoopTest, EndsWhatIsLateWhetherItWaitsOrRuns) {
  serve({.max_in_flight = 1}, [](EngineLoop& loop) {
    Box running, waiting;
    Job first = job(running, 4000), second = job(waiting, 1);
    const int64_t soon = steady_clock().now_us() + 100'000;
    first.deadline_us = second.deadline_us = soon;
    loop.submit(std::move(first));
    loop.submit(std::move(second));
    running.read_to_end();
    waiting.read_to_end();
    EXPECT_EQ(running.status, 408);
    EXPECT_EQ(waiting.status, 408);
  });
  EXPECT_NE(metrics_.text({}).find(R"(terrace_request_success_total{finished_reason="abort"} 2)"), std::string::npos) << metrics_.text({});
}

TEST_F(EngineLoopTest, FinishesWhatItAcceptedAfterASignal) {
  Box box;
  serve({.drain_us = 20'000'000}, [&box](EngineLoop& loop) { loop.submit(job(box, 200)); });
  box.read_to_end();
  EXPECT_EQ(box.num_tokens, 200);
}

TEST_F(EngineLoopTest, TellsThoseWhoAreNotDoneWhenTheTimeIsUp) {
  Box box;
  serve({.drain_us = 50'000}, [&](EngineLoop& loop) {
    loop.submit(job(box, 4000));
    box.read([](const Box& at) { return at.num_tokens >= 1; });
  });
  box.read_to_end();
  EXPECT_EQ(box.status, 503);
}

TEST_F(EngineLoopTest, ManyClientsComeAndGo) {
  serve({.max_queued = 64, .max_in_flight = 5}, [](EngineLoop& loop) {
    std::vector<std::thread> clients;
    std::atomic<int> answered = 0;
    for (int c = 0; c < 8; ++c) {
      clients.emplace_back([&loop, &answered, c] {
        for (int i = 0; i < 12; ++i) {
          Box box;
          const JobId id = loop.submit(job(box, 1 + (i * 7 + c) % 20, 1 + i % 3));
          if ((i + c) % 4 == 0) {
            loop.cancel(id);
          } else {
            box.read_to_end(1 + i % 3);
            ++answered;
          }
        }
      });
    }
    for (std::thread& client : clients) client.join();
    EXPECT_EQ(answered, 72);
  });
}

}  // namespace
}  // namespace terrace
