// The simulated NCCL: every rank the same bits in an order that varies, and each mistake of a caller found on all ranks, in time.
#include <nccl.h>

#include <cmath>
#include <cstdlib>
#include <functional>
#include <thread>

#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

/// One rank, on its own thread and device.
struct Rank {
  int rank = 0;
  ncclComm_t comm = nullptr;
  cudaStream_t stream = nullptr;
  float* buffer = nullptr;  // [kRoom]
  ncclResult_t init = ncclSuccess;

  ncclResult_t poll(ncclResult_t result) const {
    while (result == ncclInProgress) {
      if (ncclCommGetAsyncError(comm, &result) != ncclSuccess) return ncclInternalError;
      std::this_thread::yield();
    }
    return result;
  }
  ncclResult_t sum(size_t count) const { return poll(ncclAllReduce(buffer, buffer, count, ncclFloat32, ncclSum, comm, stream)); }
  std::vector<float> read(size_t count) const {
    std::vector<float> values(count);
    EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), buffer, count * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }
};

constexpr size_t kRoom = 1000;
float part(int rank, size_t i) { return std::sin(static_cast<float>(i * 7 + static_cast<size_t>(rank) * 131)) * (rank == 1 ? 100.0f : 1.0f); }

class NcclTest : public SimulatedTest {
 protected:
  void SetUp() override {
    SimulatedTest::SetUp();
    setenv("CUDASIM_NCCL_TIMEOUT", "20", 1);
  }
  void TearDown() override {
    unsetenv("CUDASIM_NCCL_TIMEOUT");
    SimulatedTest::TearDown();
  }

  /// `device_of(rank)`: which device it takes.
  static void run_ranks(int size, const std::function<void(Rank&)>& body, const std::function<int(int)>& device_of = [](int rank) { return rank; }) {
    ncclUniqueId id;
    ASSERT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    std::vector<std::thread> threads;
    for (int i = 0; i < size; ++i) {
      threads.emplace_back([&, i] {
        Rank rank;
        rank.rank = i;
        ASSERT_EQ(cudaSetDevice(device_of(i)), cudaSuccess);
        ASSERT_EQ(cudaStreamCreateWithFlags(&rank.stream, cudaStreamNonBlocking), cudaSuccess);
        ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&rank.buffer), kRoom * sizeof(float)), cudaSuccess);
        std::vector<float> values;
        for (size_t k = 0; k < kRoom; ++k) values.push_back(part(i, k));
        ASSERT_EQ(cudaMemcpy(rank.buffer, values.data(), kRoom * sizeof(float), cudaMemcpyHostToDevice), cudaSuccess);
        ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
        config.blocking = 0;
        rank.init = rank.poll(ncclCommInitRankConfig(&rank.comm, size, id, i, &config));
        body(rank);
        if (rank.comm != nullptr) {
          EXPECT_EQ(ncclCommAbort(rank.comm), ncclSuccess);
        }
        (void)cudaFree(rank.buffer);
        (void)cudaStreamDestroy(rank.stream);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

TEST_F(NcclTest, AllRanksHoldTheSameBitsWhoseOrderVariesWithTheSeed) {
  bool varies = false;
  std::vector<float> first;
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    cudasim::settings().seed = seed;
    std::vector<std::vector<float>> sums(3);
    run_ranks(3, [&](Rank& rank) {
      ASSERT_EQ(rank.init, ncclSuccess);
      EXPECT_EQ(rank.sum(kRoom), ncclSuccess);
      sums[static_cast<size_t>(rank.rank)] = rank.read(kRoom);
    });
    EXPECT_EQ(sums[0], sums[1]);
    EXPECT_EQ(sums[0], sums[2]);
    for (size_t i = 0; i < kRoom; ++i) ASSERT_NEAR(sums[0][i], part(0, i) + part(1, i) + part(2, i), 3e-5) << i;
    if (first.empty()) first = sums[0];
    varies |= first != sums[0];
  }
  EXPECT_TRUE(varies);
}

TEST_F(NcclTest, GatheredPartsLieInRankOrder) {
  run_ranks(3, [](Rank& rank) {
    ASSERT_EQ(rank.poll(ncclAllGather(rank.buffer + 500, rank.buffer, 100, ncclFloat32, rank.comm, rank.stream)), ncclSuccess);
    const std::vector<float> all = rank.read(300);
    for (int from = 0; from < 3; ++from) EXPECT_EQ(all[static_cast<size_t>(from) * 100 + 7], part(from, 507));
  });
}

TEST_F(NcclTest, CallsThatDifferBetweenRanksAreFoundOnAll) {
  run_ranks(3, [](Rank& rank) {
    EXPECT_EQ(rank.sum(rank.rank == 2 ? 99 : 100), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaErrorLaunchFailure);
    ncclResult_t result = ncclSuccess;
    EXPECT_EQ(ncclCommGetAsyncError(rank.comm, &result), ncclSuccess);
    EXPECT_EQ(result, ncclInvalidUsage);
  });
  const auto found = cudasim::take_findings();
  EXPECT_EQ(found.size(), 3u);
  EXPECT_TRUE(contains(found, "rank 0 calls ncclAllReduce of 100 elements")) << found.front();
  EXPECT_TRUE(contains(found, "rank 2 calls ncclAllReduce of 99 elements")) << found.front();
}

TEST_F(NcclTest, ARankThatDoesNotComeIsNamedInTime) {
  setenv("CUDASIM_NCCL_TIMEOUT", "1", 1);
  run_ranks(2, [](Rank& rank) {
    if (rank.rank == 1) return;
    EXPECT_EQ(rank.sum(100), ncclSuccess);
    EXPECT_EQ(cudaStreamSynchronize(rank.stream), cudaErrorLaunchFailure);
  });
  EXPECT_TRUE(contains(cudasim::take_findings(), "rank 1 has not come within 1 s"));
}

TEST_F(NcclTest, AnAbortFromAnotherThreadEndsAWaitForAPeerAndSpoilsTheSum) {
  run_ranks(2, [](Rank& rank) {
    if (rank.rank == 1) return;
    EXPECT_EQ(rank.sum(100), ncclSuccess);
    std::thread watch([comm = std::exchange(rank.comm, nullptr)] { EXPECT_EQ(ncclCommAbort(comm), ncclSuccess); });
    EXPECT_TRUE(std::isnan(rank.read(100)[5]));
    watch.join();
  });
}

TEST_F(NcclTest, ACallBeforeTheLastOneWasAskedAboutIsFound) {
  run_ranks(1, [](Rank& rank) {
    ASSERT_EQ(ncclAllReduce(rank.buffer, rank.buffer, 10, ncclFloat32, ncclSum, rank.comm, rank.stream), ncclInProgress);  // the first one connects
    EXPECT_EQ(ncclAllReduce(rank.buffer, rank.buffer, 10, ncclFloat32, ncclSum, rank.comm, rank.stream), ncclInvalidUsage);
  });
  EXPECT_TRUE(contains(cudasim::take_findings(), "an earlier call on this communicator is in progress"));
}

/// A graph with one sum, made after one outside of it has connected.
cudaGraphExec_t record_sum(const Rank& rank) {
  EXPECT_EQ(rank.sum(10), ncclSuccess);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t exec = nullptr;
  EXPECT_EQ(cudaStreamBeginCapture(rank.stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  EXPECT_EQ(rank.sum(10), ncclSuccess);
  EXPECT_EQ(cudaStreamEndCapture(rank.stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphInstantiate(&exec, graph, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  return exec;
}

TEST_F(NcclTest, ACommunicatorDoesNotEndWhileALiveGraphHoldsASumOfIt) {
  setenv("CUDASIM_NCCL_TIMEOUT", "1", 1);
  run_ranks(1, [](Rank& rank) {
    const cudaGraphExec_t exec = record_sum(rank);
    EXPECT_EQ(rank.poll(ncclCommFinalize(rank.comm)), ncclSuccess);
    EXPECT_TRUE(contains(cudasim::take_findings(), "ncclCommFinalize: a live graph holds an operation of this communicator"));
    EXPECT_EQ(ncclCommAbort(std::exchange(rank.comm, nullptr)), ncclSuccess);
    EXPECT_TRUE(contains(cudasim::take_findings(), "ncclCommAbort: a live graph holds an operation of this communicator"));
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  });
}

TEST_F(NcclTest, ACommunicatorEndsOnceItsGraphsAreDestroyedThoughOneMayStillRun) {
  run_ranks(1, [](Rank& rank) {
    const cudaGraphExec_t exec = record_sum(rank);
    EXPECT_EQ(cudaGraphLaunch(exec, rank.stream), cudaSuccess);
    const ncclResult_t begun = ncclCommFinalize(rank.comm);
    EXPECT_EQ(begun, ncclInProgress);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(rank.poll(begun), ncclSuccess);
  });
}

TEST_F(NcclTest, TwoRanksOnOneDeviceAreRefused) {
  run_ranks(2, [](Rank& rank) { EXPECT_EQ(rank.init, ncclInvalidUsage); }, [](int) { return 0; });
}

TEST_F(NcclTest, MemoryThatIsNotNcclsOwnCannotBeAWindow) {
  run_ranks(1, [](Rank& rank) {
    ncclWindow_t window = nullptr;
    EXPECT_EQ(rank.poll(ncclCommWindowRegister(rank.comm, rank.buffer, 4096, &window, NCCL_WIN_COLL_SYMMETRIC)), ncclInvalidArgument);
  });
  EXPECT_TRUE(contains(cudasim::take_findings(), "no whole ncclMemAlloc"));
}

TEST_F(NcclTest, AnInjectedFailureComesBackFromThatCallAndStays) {
  run_ranks(1, [](Rank& rank) {
    cudasim::settings().fail_call = cudasim::num_api_calls() + 1;
    EXPECT_EQ(rank.sum(10), ncclSystemError);
    ncclResult_t result = ncclSuccess;
    EXPECT_EQ(ncclCommGetAsyncError(rank.comm, &result), ncclSuccess);
    EXPECT_EQ(result, ncclSystemError);
  });
}

}  // namespace
}  // namespace self
