// A server's engine as a batch sees it: its sequences are requests of low priority among the others, a few at a time, so that a line of many sequences leaves
// the queue to those who wait for an answer. One thread, which is not the step thread.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "launcher/batch/sequence_runner.h"
#include "launcher/serve/engine_loop.h"

namespace terrace {

class LoopRunner final : public SequenceRunner {
 public:
  /// The loop outlives the runner; `owner`: whose share of the queue it takes from; `max_open`: sequences given to the loop at a time.
  LoopRunner(EngineLoop& loop, std::string owner, size_t max_open) : loop_(loop), owner_(std::move(owner)), max_open_(max_open), news_(std::make_shared<News>()) {}
  ~LoopRunner() override;

  SequenceId submit(Request request) override;
  void cancel(SequenceId id) override;
  void finish(SequenceId id) override;
  bool busy() const override { return !open_.empty() || !backlog_.empty(); }
  std::vector<SequenceEvent> step() override;
  EngineStats stats() const override { return loop_.engine_stats(); }

 private:
  struct News {
    std::mutex mutex;
    std::condition_variable came;
    bool any = false;
  };
  struct Open {
    JobId job = 0;
    std::shared_ptr<Mailbox> mailbox;
  };
  void fill_up();

  EngineLoop& loop_;
  std::string owner_;
  size_t max_open_;
  std::shared_ptr<News> news_;
  SequenceId last_id_ = 0;
  std::map<SequenceId, Request> backlog_;  // not given to the loop yet
  std::unordered_map<SequenceId, Open> open_;
};

}  // namespace terrace
