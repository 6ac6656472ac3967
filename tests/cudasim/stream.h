// Streams as queues of operations that run when somebody waits for them, or earlier by seed. Handles are pointers to these objects; they live until the process ends, so that a
// handle used after its end is found. Guarded by the device's lock.
#pragma once

#include <deque>

#include "tests/cudasim/access_history.h"
#include "tests/cudasim/core.h"

namespace cudasim {

class Stream;
struct Capture;

struct QueuedOperation {
  Operation operation;
  Clock clock;                                          // what is ordered before it, and itself
  uint64_t count = 0;                                   // the how-many-eth of its stream
  std::vector<std::pair<Stream*, uint64_t>> waits;      // other streams' first operations
};

class Stream {
 public:
  Stream(Device& device, size_t id, bool blocking) : device_(device), id_(id), blocking_(blocking) {}

  Device& device() { return device_; }
  size_t id() const { return id_; }
  bool blocking() const { return blocking_; }
  bool idle() const { return queue_.empty(); }
  uint64_t issued() const { return issued_; }
  uint64_t done() const { return done_; }
  const Clock& clock() const { return clock_; }

  /// Queues; the operation is ordered after the stream's earlier ones, what the host has waited for, and `after`.
  void push(Operation operation, const std::vector<std::pair<Stream*, uint64_t>>& waits = {}, const Clock& after = {});
  /// The next operation can run: what it waits for has run. Peers: only if they are there.
  bool ready() const;
  /// Number of the first operation in the queue that waits for peers; 0: none.
  uint64_t first_for_peers() const;
  bool next_needs_peers() const { return !queue_.empty() && queue_.front().operation.waits_for_peers; }
  void run_next();
  /// Runs up to and with operation `count`, and whatever that waits for.
  void run_through(uint64_t count);

  bool has_handle = false;  // given out by cudaStreamCreate
  bool destroyed = false;
  std::shared_ptr<Capture> capture;  // not null: operations become graph nodes

 private:
  Device& device_;
  size_t id_;
  bool blocking_;
  std::deque<QueuedOperation> queue_;
  uint64_t issued_ = 0, done_ = 0;
  Clock clock_;
};

/// A point in a stream.
struct Event {
  Device* device = nullptr;
  Stream* stream = nullptr;  // null: never recorded
  uint64_t count = 0;
  Clock clock;
  std::shared_ptr<Capture> capture;     // recorded into a capture: the graph nodes it stands for
  std::vector<size_t> captured_nodes;
  bool destroyed = false;
  double recorded_ms = 0;  // host time
};

}  // namespace cudasim
