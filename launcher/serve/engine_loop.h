// The step thread of a server: takes requests from other threads, gives as many to the engine as it can use, steps it, and puts what comes of it into their
// mailboxes. Sleeps while there is nothing to do.
//
// Threads: run() is the step thread's; every other member function may be called by any thread, and none of them waits for a step.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "launcher/serve/mailbox.h"
#include "launcher/serve/request_queue.h"
#include "launcher/serve/server_metrics.h"
#include "runtime/engine.h"

namespace terrace {

using JobId = uint64_t;  // one request with all its choices; never 0, never reused

struct Job {
  std::vector<Request> choices;
  std::string owner;        // the API key's name: whom the queue is fair to
  int32_t priority = 0;     // the smaller goes first
  int64_t deadline_us = 0;  // on steady_clock(); 0: none
  std::shared_ptr<Mailbox> mailbox;
};

class EngineLoop {
 public:
  struct Options {
    size_t max_queued = 1024;    // requests
    int32_t max_in_flight = 64;  // sequences given to the engine at a time
    int64_t drain_us = 0;        // how long requests may go on after a signal
  };
  /// Both outlive the loop.
  EngineLoop(Engine& engine, ServerMetrics& metrics, const Options& options);

  /// Throws ApiError: 429 where the queue is full, 503 while the server ends.
  JobId submit(Job job);
  /// Ends a request within one step, whatever it is doing; one that has ended is ignored.
  void cancel(JobId id);
  /// Ends one choice of it, which then yields no more events.
  void cancel_choice(JobId id, int32_t choice);
  size_t num_queued() const;
  /// As of the last step.
  EngineStats engine_stats() const;
  /// What a refused client should wait, at the speed of the last minute.
  int retry_after_seconds() const;
  bool draining() const { return draining_.load(std::memory_order_relaxed); }

  /// Until `signal` is not 0 and what was accepted has ended, or drain_us have passed.
  void run(const std::atomic<int>& signal);
  /// Tells every request that nothing more comes, and takes no more. For an end in disorder: the engine is not touched.
  void abandon(const ApiError& error);

 private:
  struct Waiting {
    Job job;
    int64_t arrived_us = 0;
  };
  struct Choice {
    SequenceId sequence = 0;    // 0 where ended
    int64_t last_token_us = 0;  // 0 before the first
    TokenSources sources;       // so far
  };
  struct Running {
    std::shared_ptr<Mailbox> mailbox;
    std::vector<Choice> choices;
    int32_t num_left = 0;
    int64_t deadline_us = 0;
    RequestTimes times;
    std::vector<Mailbox::Item> news;    // of this step
  };
  struct Place {
    JobId job = 0;
    int32_t choice = 0;
  };
  struct Cancel {
    JobId job = 0;
    int32_t choice = -1;  // -1: all
  };

  enum class Wake { kWork, kIdle, kEnd };
  Wake wait_for_work(const std::atomic<int>& signal);
  void step_engine();
  void take_in();
  void start(JobId id, Waiting waiting);
  void apply(const Cancel& cancel);
  void expire(int64_t now_us);
  void deliver(const std::vector<SequenceEvent>& events);
  void close(JobId id);
  void end_all(const ApiError& error);
  void publish_stats();

  Engine& engine_;
  ServerMetrics& metrics_;
  const Options options_;
  std::atomic<bool> draining_ = false;

  mutable std::mutex mutex_;  // guards what follows, up to the blank line
  std::condition_variable work_;
  RequestQueue queue_;
  std::unordered_map<JobId, Waiting> waiting_;
  std::vector<Cancel> cancels_;
  std::unordered_map<JobId, std::shared_ptr<Mailbox>> open_;  // waiting or running
  JobId last_id_ = 0;
  EngineStats stats_;

  std::unordered_map<JobId, Running> running_;  // the step thread's own
  std::unordered_map<SequenceId, Place> places_;
  int64_t stats_at_us_ = 0;
  bool written_behind_ = false;  // all pages that the disk can take
};

}  // namespace terrace
