// Devices that reach each other's memory: as processes, whose views are as weak as a device's may be, so that each missing order shows in every run; as threads; and each misuse of the calls.
// Runs with kernels as C++ and (CUDASIM_PTX) as nvcc's PTX.
#include "tests/cudasim/bugs/peer_bugs.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <thread>

#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

using bugs::kShown;
using bugs::PeerBoard;
using bugs::PeerBug;

/// What two processes tell each other; in memory of both.
struct Table {
  cudaIpcMemHandle_t handles[2];
  std::atomic<int> laid{0}, left{0};

  static void meet(std::atomic<int>& count) {
    ++count;
    while (count < 2) std::this_thread::yield();
  }
};

enum Verdict { kAsWritten, kStale, kFailed };

Verdict judge(const std::vector<float>& shown) {
  for (int i = 0; i < kShown; ++i) {
    if (shown[static_cast<size_t>(i)] != static_cast<float>(i + 1)) return kStale;
  }
  return kAsWritten;
}

#define OR_FAIL(call) \
  if ((call) != cudaSuccess) return kFailed

/// A process's part.
Verdict show_and_look(Table& table, int rank, PeerBug bug) {
  cudaStream_t stream = nullptr;
  void *own = nullptr, *other = nullptr, *out = nullptr;
  OR_FAIL(cudaSetDevice(4 + rank));
  OR_FAIL(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  OR_FAIL(cudaMalloc(&own, sizeof(PeerBoard)));
  OR_FAIL(cudaMalloc(&out, kShown * sizeof(float)));
  OR_FAIL(cudaMemsetAsync(own, 0, sizeof(PeerBoard), stream));
  OR_FAIL(cudaStreamSynchronize(stream));
  OR_FAIL(cudaIpcGetMemHandle(&table.handles[rank], own));
  Table::meet(table.laid);
  OR_FAIL(cudaIpcOpenMemHandle(&other, table.handles[1 - rank], cudaIpcMemLazyEnablePeerAccess));
  bugs::launch_show(bug, static_cast<PeerBoard*>(own), static_cast<PeerBoard*>(other), static_cast<float*>(out), stream);
  OR_FAIL(cudaStreamSynchronize(stream));
  std::vector<float> shown(kShown);
  OR_FAIL(cudaMemcpy(shown.data(), out, kShown * sizeof(float), cudaMemcpyDeviceToHost));
  OR_FAIL(cudaIpcCloseMemHandle(other));
  Table::meet(table.left);
  OR_FAIL(cudaFree(own));
  OR_FAIL(cudaFree(out));
  return cudasim::num_findings() == 0 ? judge(shown) : kFailed;
}

class PeerBugsTest : public SimulatedTest {
 protected:
  void SetUp() override {
    SimulatedTest::SetUp();
    if (cudasim::kAsan) GTEST_SKIP() << "kernels of several devices share their __shared__ variables with AddressSanitizer";
    setenv("CUDASIM_NCCL_TIMEOUT", "20", 1);
  }
  void TearDown() override {
    unsetenv("CUDASIM_NCCL_TIMEOUT");
    SimulatedTest::TearDown();
  }

  static std::vector<int> show_between_processes(PeerBug bug) {
    void* memory = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    auto* table = new (memory) Table;
    std::vector<pid_t> children;
    for (int rank = 0; rank < 2; ++rank) {
      children.push_back(fork());
      if (children.back() == 0) _exit(show_and_look(*table, rank, bug));
    }
    std::vector<int> verdicts;
    for (const pid_t child : children) {
      int status = 0;
      waitpid(child, &status, 0);
      verdicts.push_back(WIFEXITED(status) ? WEXITSTATUS(status) : kFailed);
    }
    munmap(memory, sizeof(Table));
    return verdicts;
  }
};

TEST_F(PeerBugsTest, EachMissingOrderShowsInEveryOrderOfLanesAndTheCleanTwinIsRight) {
  using Order = cudasim::Settings::Order;
  for (const Order order : {Order::kInOrder, Order::kReverse, Order::kRandom, Order::kWarpFirst}) {
    cudasim::settings().order = order;
    for (const PeerBug bug : {PeerBug::kNone, PeerBug::kNoRelease, PeerBug::kNoAcquire, PeerBug::kNoBarrier}) {
      const int wanted = bug == PeerBug::kNone ? kAsWritten : kStale;
      EXPECT_EQ(show_between_processes(bug), (std::vector<int>{wanted, wanted})) << "order " << static_cast<int>(order) << ", bug " << static_cast<int>(bug);
    }
  }
}

TEST_F(PeerBugsTest, DevicesOfOneProcessReachEachOtherByPlainPointers) {
  std::vector<float> shown[2];
  void* boards[2] = {};
  std::atomic<int> laid = 0, left = 0;
  std::vector<std::thread> ranks;
  for (int rank = 0; rank < 2; ++rank) {
    ranks.emplace_back([&, rank] {
      cudaStream_t stream = nullptr;
      void* out = nullptr;
      ASSERT_EQ(cudaSetDevice(4 + rank), cudaSuccess);
      ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
      ASSERT_EQ(cudaMalloc(&boards[rank], sizeof(PeerBoard)), cudaSuccess);
      ASSERT_EQ(cudaMalloc(&out, kShown * sizeof(float)), cudaSuccess);
      ASSERT_EQ(cudaMemsetAsync(boards[rank], 0, sizeof(PeerBoard), stream), cudaSuccess);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      ASSERT_EQ(cudaDeviceEnablePeerAccess(5 - rank, 0), cudaSuccess);
      Table::meet(laid);
      bugs::launch_show(PeerBug::kNone, static_cast<PeerBoard*>(boards[rank]), static_cast<PeerBoard*>(boards[1 - rank]), static_cast<float*>(out), stream);
      ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
      shown[rank].resize(kShown);
      ASSERT_EQ(cudaMemcpy(shown[rank].data(), out, kShown * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
      Table::meet(left);
      EXPECT_EQ(cudaFree(boards[rank]), cudaSuccess);
      EXPECT_EQ(cudaFree(out), cudaSuccess);
      EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    });
  }
  for (std::thread& rank : ranks) rank.join();
  for (const auto& one : shown) EXPECT_EQ(judge(one), kAsWritten);
}

TEST_F(PeerBugsTest, AWaitThatNobodyEndsIsFoundInTime) {
  setenv("CUDASIM_NCCL_TIMEOUT", "1", 1);
  auto* board = device<PeerBoard>(1);
  ASSERT_EQ(cudaMemsetAsync(board, 0, sizeof(PeerBoard), a_), cudaSuccess);
  try {
    bugs::launch_wait(board, a_);
  } catch (const std::exception&) {  // the stream may run it at once
  }
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaErrorLaunchFailure);
  EXPECT_TRUE(contains(cudasim::take_findings(), "no other device has changed"));
}

TEST_F(PeerBugsTest, WhatIsNoAllocationsBeginningHasNoHandle) {
  cudaIpcMemHandle_t handle;
  auto* memory = device<float>(100);
  EXPECT_EQ(cudaIpcGetMemHandle(&handle, memory + 1), cudaErrorInvalidValue);
  EXPECT_TRUE(contains(cudasim::take_findings(), "no allocation's beginning"));
}

TEST_F(PeerBugsTest, AHandleOfTheSameProcessAndWhatWasNotOpenedAreFound) {
  cudaIpcMemHandle_t handle;
  void* opened = nullptr;
  auto* memory = device<float>(100);
  ASSERT_EQ(cudaIpcGetMemHandle(&handle, memory), cudaSuccess);
  EXPECT_NE(cudaIpcOpenMemHandle(&opened, handle, cudaIpcMemLazyEnablePeerAccess), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "a pointer does there"));
  EXPECT_NE(cudaIpcCloseMemHandle(memory), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "cudaIpcOpenMemHandle has not given"));
}

TEST_F(PeerBugsTest, MemoryThatAnotherProcessHasOpenIsNotFreed) {
  void* memory = mmap(nullptr, sizeof(Table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  auto* table = new (memory) Table;
  void* own = nullptr;
  ASSERT_EQ(cudaMalloc(&own, 64), cudaSuccess);
  ASSERT_EQ(cudaMemset(own, 0, 64), cudaSuccess);
  ASSERT_EQ(cudaIpcGetMemHandle(&table->handles[0], own), cudaSuccess);
  const pid_t child = fork();
  if (child == 0) {
    void* opened = nullptr;
    const bool open = cudaSetDevice(5) == cudaSuccess && cudaIpcOpenMemHandle(&opened, table->handles[0], cudaIpcMemLazyEnablePeerAccess) == cudaSuccess;
    _exit(open ? 0 : 1);  // without closing it
  }
  int status = 1;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(cudaFree(own), cudaErrorLaunchFailure);
  EXPECT_TRUE(contains(cudasim::take_findings(), "1 other processes have open"));
  munmap(memory, sizeof(Table));
}

TEST_F(PeerBugsTest, DevicesMayBeOutOfEachOthersReach) {
  cudasim::settings().peers = false;
  int can = 1;
  EXPECT_EQ(cudaDeviceCanAccessPeer(&can, 0, 1), cudaSuccess);
  EXPECT_EQ(can, 0);
  EXPECT_EQ(cudaDeviceEnablePeerAccess(1, 0), cudaErrorPeerAccessUnsupported);
  cudaIpcMemHandle_t handle = {};
  void* opened = nullptr;
  EXPECT_EQ(cudaIpcOpenMemHandle(&opened, handle, cudaIpcMemLazyEnablePeerAccess), cudaErrorPeerAccessUnsupported);
}

}  // namespace
}  // namespace self
