// The durable result file of a batch: whole lines appended as they finish, so that a run killed at any moment can be started again and goes on.
// One writer at a time (file lock), one thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace terrace {

class BatchOutput {
 public:
  /// Opens or creates `path`, locks it, cuts off a torn last line and reads which custom_ids are done. With `retry_errors` lines that failed are
  /// removed first. Throws kIoError, also where another run holds the file, and kInvalidValue, leaving the file alone, where it holds anything else
  /// than results.
  BatchOutput(const std::string& path, bool retry_errors);
  ~BatchOutput();
  BatchOutput(const BatchOutput&) = delete;
  BatchOutput& operator=(const BatchOutput&) = delete;

  /// The custom_ids that stood in the file when it was opened.
  bool is_done(const std::string& custom_id) const { return done_.contains(custom_id); }
  size_t num_done() const { return done_.size(); }
  /// How many of them had failed.
  int64_t num_failed() const { return num_failed_; }
  /// Appends one line (newline added) whole or not at all; on failure Error(kIoError) and the file ends with the line before.
  void append(std::string line);
  /// To stable storage, where a second has passed since the last time or `now` says so.
  void sync(bool now);
  /// Rewrites the file in the order of `custom_ids` by a temporary file and a rename.
  void sort(const std::vector<std::string>& custom_ids);
  /// Bytes cut off as a torn line when opened.
  int64_t repaired_bytes() const { return repaired_bytes_; }

 private:
  void load(bool retry_errors);
  void replace_with(const std::vector<std::string_view>& lines);

  std::string path_;
  int file_ = -1;
  int64_t size_ = 0;  // of whole lines
  int64_t repaired_bytes_ = 0;
  int64_t num_failed_ = 0;
  bool unsynced_ = false;
  std::chrono::steady_clock::time_point last_sync_;
  std::unordered_set<std::string> done_;
};

}  // namespace terrace
