// What is behind /v1/batches: input files of the FileStore answered one after another by a thread of its own, with BatchRunner, as `terrace batch` does it;
// so a batch that was interrupted goes on where it was when the server is back. Any thread.
#pragma once

#include <atomic>
#include <boost/json.hpp>
#include <condition_variable>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "launcher/api/completion_request.h"
#include "launcher/serve/engine_loop.h"
#include "launcher/serve/file_store.h"

namespace terrace {

class BatchJobs {
 public:
  struct Options {
    CompletionContext context;
    std::string model_name;
    int32_t max_in_flight = 32;
  };
  /// All outlive it. Takes up what an earlier server left.
  BatchJobs(FileStore& files, EngineLoop& loop, const Options& options);
  /// Interrupts what runs; it goes on with the next server.
  ~BatchJobs();

  /// {"input_file_id", "endpoint", "completion_window", "metadata"}; the batch's object. Throws ApiError.
  boost::json::object create(const boost::json::object& body);
  /// Newest first.
  std::vector<boost::json::object> list() const;
  std::optional<boost::json::object> find(const std::string& id) const;
  /// nullopt: no such batch.
  std::optional<boost::json::object> cancel(const std::string& id);

 private:
  void work();
  void run(const std::string& id);
  void answer_lines(const std::string& id);
  /// In memory and in the folder, one after another.
  void update(const std::string& id, const boost::json::object& changes);
  void save(const boost::json::object& batch);
  /// What a batch that ended before its time has answered, as a file that clients can read: its id, or null where there is none.
  boost::json::value published_output(const boost::json::object& batch);

  FileStore& files_;
  EngineLoop& loop_;
  const Options options_;

  mutable std::mutex mutex_;  // guards what follows, up to the blank line
  std::condition_variable work_;
  std::map<std::string, boost::json::object> batches_;
  std::deque<std::string> pending_;
  std::string running_;
  bool ending_ = false;

  std::atomic<int> stop_ = 0;  // tells the running batch to come back
  std::thread thread_;
};

}  // namespace terrace
