// Devices, threads, failures on demand, and what is said at the end of the process.
#include <unistd.h>

#include <cstdlib>
#include <thread>
#include <utility>

#include "tests/cudasim/self/self_kernels.h"
#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

class ApiTest : public SimulatedTest {};

TEST_F(ApiTest, SaysThatThereIsNoDriverOrNoDevice) {
  int count = -1;
  cudasim::settings().driver = false;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorInsufficientDriver);
  cudasim::settings().driver = true;
  const int devices = std::exchange(cudasim::settings().num_devices, 0);
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaErrorNoDevice);
  cudasim::settings().num_devices = devices;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, devices);
  EXPECT_EQ(cudaSetDevice(devices), cudaErrorInvalidDevice);
}

TEST_F(ApiTest, RefusesLaunchesThatNoDeviceTakes) {
  float* x = device(4);
  const void* unknown = reinterpret_cast<const void*>(&cudaMalloc);
  EXPECT_EXIT((void)cudaLaunchKernel(unknown, dim3(1), dim3(1), nullptr, 0, a_), testing::ExitedWithCode(87), "nobody described");
  EXPECT_ANY_THROW(fill(x, 0, 1, a_));  // an empty grid
}

TEST_F(ApiTest, BatchesCopiesAndStridesThem) {
  float* memory = upload(std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  float* host = pinned(12);
  void* dsts[] = {host, host + 4, host + 1};
  const void* srcs[] = {memory + 3, memory, memory + 8};
  const size_t sizes[] = {4, 8, 12};
  cudaMemcpyAttributes attributes{};
  attributes.srcAccessOrder = cudaMemcpySrcAccessOrderStream;
  size_t start = 0;
  ASSERT_EQ(cudaMemcpyBatchAsync(dsts, srcs, sizes, 3, &attributes, &start, 1, a_), cudaSuccess);
  ASSERT_EQ(cudaMemcpy2DAsync(host + 6, 2 * 4, memory, 4 * 4, 2 * 4, 3, cudaMemcpyDeviceToHost, a_), cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
  EXPECT_EQ(std::vector<float>(host, host + 12), (std::vector<float>{3, 8, 9, 10, 0, 1, 0, 1, 4, 5, 8, 9}));
}

TEST_F(ApiTest, ThreadsWithADeviceEachWorkAtOnce) {
  constexpr int kThreads = 3, kCount = 256;
  std::vector<std::thread> threads;
  std::vector<float> sums(kThreads, 0.0f);
  for (int rank = 0; rank < kThreads; ++rank) {
    threads.emplace_back([&, rank] {
      cudaStream_t stream = nullptr;
      float* x = nullptr;
      if (cudaSetDevice(rank + 1) != cudaSuccess || cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess) return;
      if (cudaMalloc(reinterpret_cast<void**>(&x), kCount * sizeof(float)) != cudaSuccess) return;
      fill(x, kCount, static_cast<float>(rank), stream);
      for (int i = 0; i < 20; ++i) add(x, kCount, 1, stream);
      if (cudaStreamSynchronize(stream) != cudaSuccess) return;
      (void)cudaMemcpy(&sums[static_cast<size_t>(rank)], x + 7, sizeof(float), cudaMemcpyDeviceToHost);
      (void)cudaFree(x);
      (void)cudaStreamDestroy(stream);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sums, (std::vector<float>{20, 21, 22}));
}

TEST_F(ApiTest, FailsTheCallAskedForAndOnlyThat) {
  const auto three_calls = [] {
    cudasim::settings().fail_call = cudasim::num_api_calls() + 2;
    void* memory = nullptr;
    const cudaError_t first = cudaMalloc(&memory, 16);
    const cudaError_t second = cudaMalloc(&memory, 16);
    const cudaError_t third = cudaMalloc(&memory, 16);
    _exit(first == cudaSuccess && second == cudaErrorMemoryAllocation && third == cudaSuccess ? 0 : 1);
  };
  EXPECT_EXIT(three_calls(), testing::ExitedWithCode(0), "fails because CUDASIM_FAIL_CALL");
}

TEST_F(ApiTest, SpeaksOfLeaksAndFindingsAtTheEnd) {
  const auto leak = [] {
    cudasim::settings().leaks = true;
    void* memory = nullptr;
    (void)cudaMalloc(&memory, 4321);
    std::exit(0);
  };
  EXPECT_EXIT(leak(), testing::ExitedWithCode(86), "LEAK offset 0 of device 0's allocation [0-9]+ of 4321 bytes");
  const auto find = [] {
    (void)cudaMemsetAsync(nullptr, 0, 4, nullptr);
    std::exit(0);
  };
  EXPECT_EXIT(find(), testing::ExitedWithCode(86), "1 findings");
}

}  // namespace
}  // namespace self
