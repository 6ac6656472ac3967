// A simulated ncclComm: joins its meeting, queues collectives on streams, remembers failures. Threads: the rank's own, another that asks for errors or aborts, and whoever runs
// the rank's queued operations.
#pragma once

#include <cuda_runtime_api.h>
#include <nccl.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>

#include "tests/cudasim/nccl/meeting.h"

namespace cudasim {

class Communicator : public std::enable_shared_from_this<Communicator> {
 public:
  Communicator(const Meeting::Key& key, int rank, int size, bool blocking);
  ~Communicator();

  /// Runs `work` here, or in a thread of NCCL's own where the communicator is non-blocking: then ncclInProgress until state() says otherwise.
  ncclResult_t run_host_call(std::function<ncclResult_t(Communicator&)> work);
  /// Shows `header` to the other ranks and compares.
  ncclResult_t meet_on_host(const CollectiveHeader& header);
  /// Queues a collective: send[0, send_bytes) of every rank make recv[0, recv_bytes) of this one.
  ncclResult_t queue(const CollectiveHeader& header, const void* send, size_t send_bytes, void* recv, size_t recv_bytes, cudaStream_t stream);
  /// ncclSuccess, ncclInProgress, or what went wrong first. Queues what the last call has left to its poll.
  ncclResult_t state();
  /// Ends whatever waits for peers; later operations do nothing.
  void abort();
  /// Waits, like NCCL, until no live graph holds an operation of this communicator, but not for ever: a finding then.
  void await_graphs(const char* function);
  /// Waits until what was queued has run.
  ncclResult_t flush();

  int rank() const { return rank_; }
  int size() const { return size_; }
  void fail(ncclResult_t result, const std::string& sentence);

 private:
  struct Queued;
  ncclResult_t enqueue_now(const Queued& queued);
  void run(const Queued& queued);

  Meeting meeting_;
  const int rank_, size_, device_;
  const bool blocking_;
  std::atomic<bool> aborted_ = false;
  std::atomic<int> running_ = 0;  // operations under way
  std::atomic<int> busy_ = 0;     // host calls under way
  std::thread worker_;
  std::mutex mutex_;  // the rest
  ncclResult_t failure_ = ncclSuccess;
  std::set<cudaStream_t> streams_;        // with operations since the last flush
  std::unique_ptr<Queued> postponed_;     // a call that was answered ncclInProgress
  std::thread::id postponed_by_;
  uint64_t calls_ = 0;
};

/// For ncclGetLastError.
void set_last_nccl_error(const std::string& sentence);
const char* last_nccl_error();

}  // namespace cudasim
