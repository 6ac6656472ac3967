// Runs the blocks of a launch, one after another, each with a fiber a lane; lanes change only at barriers and warp collectives. Owns lanes, stacks and shared memory of its host
// thread. Deadlock, barrier divergence and exits under a waiting warp are findings that end the launch.
#pragma once

#include <vector>

#include "tests/cudasim/core.h"
#include "tests/cudasim/fiber.h"

namespace cudasim {

/// Lanes that wait in one warp collective.
struct Gathering {
  unsigned mask = 0, arrived = 0;
  WarpOp op = WarpOp::kSync;
  CallSite site;
};

struct NamedBarrier {
  int expected = 0;  // 0: all lanes that have not exited
  int arrived = 0;
  CallSite site;
};

/// Whether the current block may use these bytes as shared memory. With AddressSanitizer static __shared__ variables lie among the host's, which it guards itself.
bool in_shared_memory(const void* address, size_t bytes);

class Scheduler {
 public:
  static Scheduler& of_this_thread();
  /// The same, for its lanes.
  static Scheduler& running() { return *running_; }
  ~Scheduler();

  void run(Device& device, const Kernel& kernel, KernelStatistics& statistics);

  Random& random();
  KernelStatistics& statistics() { return *statistics_; }
  Block& block() { return block_; }
  std::vector<Gathering>& gatherings(int warp) { return gatherings_[static_cast<size_t>(warp)]; }
  Lane* lanes_of_warp(int warp, int& count);

  /// Of the current lane: waits until something makes it ready.
  void wait();
  /// The current lane waits for another device, for the so manieth time: the block's other lanes go on, and other threads' kernels.
  void let_others_go_on(uint64_t spins);
  /// The current lane stays ready, but another may go on first.
  void step_aside();
  void make_ready(Lane& lane);
  void arrive(int id, int count, CallSite site);
  /// Leaves all lanes where they are and ends the launch.
  [[noreturn]] void abandon();

 private:
  Scheduler();
  void run_block(uint32_t linear);
  void give_way();
  void set_up_lanes(uint32_t linear);
  static void lane_main();
  void lane_exits();
  Lane* pick();
  void give_up_control(bool dying);
  void release(int id);
  void report_deadlock();
  std::vector<uint32_t> block_order(size_t count);

  static thread_local constinit Scheduler* running_ __attribute__((tls_model("initial-exec")));

  Settings::Order order_ = Settings::Order::kRandom;
  Block block_;
  KernelStatistics* statistics_ = nullptr;
  std::vector<Lane> lanes_;
  std::vector<Fiber> fibers_;
  Fiber host_;
  unsigned char* stacks_ = nullptr;
  std::vector<unsigned char> shared_;  // dynamic, or PTX's window
  std::vector<unsigned char> set_aside_;  // __shared__ variables while other kernels run
  std::vector<int> ready_;
  std::vector<std::vector<Gathering>> gatherings_;
  std::array<NamedBarrier, 16> barriers_;
  int num_done_ = 0;
  bool abandoned_ = false;
};

}  // namespace cudasim
