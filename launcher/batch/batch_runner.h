// Feeds the lines of a batch to an engine, as many at a time as keep it busy, and appends each result as it finishes. One thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <unordered_map>

#include "launcher/api/answer_collector.h"
#include "launcher/batch/batch_input.h"
#include "launcher/batch/batch_output.h"
#include "launcher/batch/batch_request.h"
#include "launcher/batch/sequence_runner.h"
#include "launcher/progress.h"

namespace terrace {

struct BatchSummary {
  int64_t num_lines = 0;    // of the input
  int64_t num_skipped = 0;  // done by an earlier run
  int64_t num_written = 0;  // by this run
  int64_t num_failed = 0;   // of those: status other than 200
  int64_t prompt_tokens = 0;
  int64_t completion_tokens = 0;
  double seconds = 0;
  bool interrupted = false;
};

class BatchRunner {
 public:
  struct Options {
    CompletionContext context;        // default_seed is replaced per line (DECISIONS 23)
    std::string model_name;           // for responses whose request names none
    int32_t max_in_flight = 64;       // sequences given to the engine at a time
    const std::atomic<int>* signal = nullptr;  // not 0: stop feeding and come back
    std::string url;                  // the only one that lines may have; empty: any
    std::function<void(const BatchSummary&)> on_line;  // after each that was written
  };
  /// All outlive the runner.
  BatchRunner(SequenceRunner& engine, const BatchInput& input, BatchOutput& output, const Options& options);

  BatchSummary run(Progress& progress);

 private:
  // One line in flight.
  struct Job {
    const BatchLine* line = nullptr;
    BatchRequest request;
    std::unique_ptr<AnswerCollector> collector;
    std::vector<SequenceId> sequences;
  };
  struct Place {
    std::shared_ptr<Job> job;
    int32_t choice = 0;
  };

  bool stop_asked() const { return options_.signal != nullptr && options_.signal->load() != 0; }
  void feed();
  void start(const BatchLine& line);
  void handle(const SequenceEvent& event);
  void drop(const Job& job);
  void write_response(const BatchLine& line, int status, boost::json::object body);
  void write_unreadable(const BatchLine& line);
  void write(const BatchLine& line, boost::json::value response, boost::json::value error);
  void show(Progress& progress) const;

  SequenceRunner& engine_;
  const BatchInput& input_;
  BatchOutput& output_;
  Options options_;
  size_t next_line_ = 0;
  std::unordered_map<SequenceId, Place> in_flight_;
  BatchSummary summary_;
  double started_ = 0;
};

}  // namespace terrace
