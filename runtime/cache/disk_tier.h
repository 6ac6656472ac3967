// The disk tier of one rank: pages of the host tier written to its file and read back, in the background. Owns the file and one thread, which makes and verifies the stamps too.
// The step thread starts transfers and collects how they ended.
//
// A frame's record is cleared, then its page is written, then its new record: whenever the process dies, a record names a whole page. After a loss of power a record may name
// bytes that never came to the disk; their stamp says so when they are read. Pages travel through aligned buffers of the tier's own, so that a request that is never answered
// (given up after timeout_us) can spoil neither a host frame nor a later page.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "kernels/base/clock.h"
#include "kernels/cpu/page_copy.h"
#include "runtime/cache/disk_file.h"
#include "runtime/cache/disk_io.h"
#include "runtime/cache/move_result.h"

namespace terrace {

struct DiskOptions {
  std::string path;
  uint32_t num_frames = 0;
  uint64_t digest = 0;  // of the model and the page layout
  int32_t page_tokens = 0;
  std::string io = "auto";          // cache.disk.io
  uint32_t num_slots = 8;           // requests under way: enough that the disk never waits for a copy
  int64_t timeout_us = 30'000'000;  // of a request; then it has failed and its slot is given up
  std::function<std::unique_ptr<DiskIo>(int fd, uint32_t num_slots)> make_io = {};  // tests; empty: by `io`
};

struct DiskTransfer {
  uint32_t id = 0;
  bool write = false;  // host to disk; false: disk to host
  uint32_t frame = 0;  // of the disk
  PageKey key;
  std::byte* host_page = nullptr;  // untouched by others until the transfer has ended
  uint64_t stamp = 0;              // write: what the host page must have
  PageRecord record;               // write
};

struct DiskResult {
  uint32_t id = 0;
  MoveOutcome outcome = MoveOutcome::kDone;
  uint64_t stamp = 0;  // of the page, where it is done
  int64_t ended_us = 0;
};

class DiskTier {
 public:
  DiskTier(const DiskOptions& options, size_t page_bytes, Clock& clock);
  /// Waits for requests that the kernel has; what waits for a slot is dropped.
  ~DiskTier();

  /// The pages of an earlier run, by frame.
  const std::vector<DiskRecord>& recovered() const { return recovered_; }
  void start(std::vector<DiskTransfer> transfers);
  std::vector<DiskResult> take_results();

 private:
  struct Slot {
    std::byte* buffer = nullptr;
    enum class State { kFree, kUnderWay, kLost } state = State::kFree;
    DiskTransfer transfer;
    int64_t give_up_us = 0;
  };

  void recover();
  void run();
  void begin(uint32_t slot, DiskTransfer transfer);
  void complete(const DiskCompletion& completion);
  MoveOutcome finish(const Slot& slot, int64_t result);
  void give_up_late_ones();
  void end(const DiskTransfer& transfer, MoveOutcome outcome);
  std::optional<uint32_t> free_slot() const;
  size_t num_in_state(Slot::State state) const;

  DiskOptions options_;
  size_t page_bytes_;
  Clock& clock_;
  CopyPage copy_page_;
  DiskFile file_;
  std::vector<DiskRecord> recovered_;
  std::vector<std::optional<uint64_t>> stamps_;  // by frame; the tier's thread
  uint64_t last_sequence_ = 0;
  std::unique_ptr<std::byte, void (*)(void*)> buffers_;
  std::vector<Slot> slots_;  // the tier's thread
  std::unique_ptr<DiskIo> io_;

  std::mutex mutex_;
  std::condition_variable started_;
  std::deque<DiskTransfer> waiting_;
  std::vector<DiskResult> results_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace terrace
