// Collective over NCCL: one communicator per rank, whatever way the ranks came to be (processes or threads). Step thread, but for its watch.
// Owns the communicator and the buffer, which is registered with it as symmetric memory where the devices can.
//
// The communicator is non-blocking: no call of the host waits for a peer without looking at the clock and at the state of the job. On a device a
// sum that a lost peer never joins would run for ever, and with it every wait for the stream; so a thread of its own watches the job and the
// communicator and aborts it once the job ends or NCCL reports a failure: the stream goes on, and check() says why its results are worth
// nothing. What nobody times: a sum whose peer neither fails nor ends but stands still.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

#include "comm/device_collective.h"

struct ncclComm;
struct ncclWindow_vidmem;

namespace terrace {

class NcclCollective final : public Collective {
 public:
  /// Meets the other ranks. Throws where they do not come within the time, or NCCL fails.
  NcclCollective(RankGroup& group, const DeviceLink& link);
  /// Leaves in good order with the others; while an exception is on its way, or after a failure, aborts instead.
  ~NcclCollective() override;
  NcclCollective(const NcclCollective&) = delete;
  NcclCollective& operator=(const NcclCollective&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::span<float> buffer(size_t count) override;
  std::span<float> all_reduce(std::span<float> part) override;
  void check() override;

 private:
  struct Call {
    const char* name;
    size_t bytes;  // 0: it moves none
  };
  using Clock = std::chrono::steady_clock;

  void connect();
  void allocate();
  void release();
  std::span<float> all_reduce_in_rank_order(std::span<float> part);
  /// Throws if `result` is a failure; waits while the call is under way in NCCL's own thread (never for the device). `lock` holds mutex_.
  void finish(int result, const Call& call, std::unique_lock<std::mutex>& lock);
  [[noreturn]] void fail(int result, const Call& call);
  std::string describe(int result, const Call& call) const;
  std::string place(const Call& call) const;
  void throw_if_broken() const;
  void watch();
  void abort_communicator();

  Control& control_;
  const int rank_;
  const int size_;
  const DeviceLink link_;
  const int exceptions_;  // on their way when this was made

  std::mutex mutex_;  // all below: the communicator is used by the step thread and by the watch
  std::condition_variable stopped_;
  bool stop_ = false;
  ncclComm* comm_ = nullptr;  // null once aborted
  std::string broken_;        // why it was aborted
  bool job_ended_ = false;

  float* buffer_ = nullptr;   // [link_.buffer_floats]
  float* gathered_ = nullptr; // [size_][link_.buffer_floats], to add in rank order; null where NCCL's order will do
  ncclWindow_vidmem* window_ = nullptr;
  std::thread watch_;
};

}  // namespace terrace
