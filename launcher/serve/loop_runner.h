// A server's engine as a batch sees it: its sequences are requests of low priority among the others. One thread, which is not the step thread.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

#include "launcher/batch/sequence_runner.h"
#include "launcher/serve/engine_loop.h"

namespace terrace {

class LoopRunner final : public SequenceRunner {
 public:
  /// The loop outlives the runner; `owner`: whose share of the queue it takes from.
  LoopRunner(EngineLoop& loop, std::string owner) : loop_(loop), owner_(std::move(owner)), news_(std::make_shared<News>()) {}
  ~LoopRunner() override;

  SequenceId submit(Request request) override;
  void cancel(SequenceId id) override;
  bool busy() const override { return !open_.empty(); }
  std::vector<SequenceEvent> step() override;
  EngineStats stats() const override { return loop_.engine_stats(); }

 private:
  struct News {
    std::mutex mutex;
    std::condition_variable came;
    bool any = false;
  };
  EngineLoop& loop_;
  std::string owner_;
  std::shared_ptr<News> news_;
  std::unordered_map<SequenceId, std::shared_ptr<Mailbox>> open_;  // by the job's id
};

}  // namespace terrace
