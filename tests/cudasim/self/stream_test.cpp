// Order between operations of different streams: what is missing is found in every mode, and what is there is not reported.
#include "tests/cudasim/self/self_kernels.h"
#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

constexpr int kCount = 1000;
constexpr size_t kBytes = kCount * sizeof(float);

class StreamTest : public SimulatedTest {
 protected:
  void order(cudaStream_t before, cudaStream_t after, cudaEvent_t event) {
    EXPECT_EQ(cudaEventRecord(event, before), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(after, event, 0), cudaSuccess);
  }
};

TEST_F(StreamTest, AnEvictionWithAllItsWaitsIsSilentAndRight) {
  float* page = device(kCount);
  float* host = pinned(kCount);
  float next = 0;
  in_every_stream_mode(5, [&] {
    fill(page, kCount, ++next, a_);
    order(a_, b_, event_);
    ASSERT_EQ(cudaMemcpyAsync(host, page, kBytes, cudaMemcpyDeviceToHost, b_), cudaSuccess);
    order(b_, a_, other_event_);
    fill(page, kCount, -1, a_);
    ASSERT_EQ(cudaEventSynchronize(other_event_), cudaSuccess);
    EXPECT_EQ(host[0], next);
    EXPECT_EQ(host[kCount - 1], next);
  });
}

TEST_F(StreamTest, ACopyThatDoesNotWaitForTheKernelIsFound) {
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  float* page = device(kCount);
  float* host = pinned(kCount);
  in_every_stream_mode(3, [&] {
    fill(page, kCount, 1, a_);
    (void)cudaMemcpyAsync(host, page, kBytes, cudaMemcpyDeviceToHost, b_);
    (void)cudaDeviceSynchronize();
    EXPECT_TRUE(contains(cudasim::take_findings(), "stream race"));
  });
}

TEST_F(StreamTest, AKernelThatReadsAPageOnTheHostBeforeItsCopyIsFound) {
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  float* page = upload(std::vector<float>(kCount, 3.0f));
  float* out = device(kCount);
  float* host = pinned(kCount);
  in_every_stream_mode(3, [&] {
    ASSERT_EQ(cudaMemcpyAsync(host, page, kBytes, cudaMemcpyDeviceToHost, b_), cudaSuccess);
    order(b_, a_, event_);
    copy(host, out, kCount, a_);
    EXPECT_EQ(download(out, kCount), std::vector<float>(kCount, 3.0f));
    ASSERT_EQ(cudaMemcpyAsync(host, page, kBytes, cudaMemcpyDeviceToHost, b_), cudaSuccess);
    try {
      copy(host, out, kCount, a_);
    } catch (const std::exception&) {
    }
    (void)cudaDeviceSynchronize();
    EXPECT_TRUE(contains(cudasim::take_findings(), "stream race"));
  });
}

TEST_F(StreamTest, AKernelThatReusesAPageBeforeItsCopyIsFound) {
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  float* page = device(kCount);
  float* host = pinned(kCount);
  in_every_stream_mode(3, [&] {
    fill(page, kCount, 1, a_);
    order(a_, b_, event_);
    (void)cudaMemcpyAsync(host, page, kBytes, cudaMemcpyDeviceToHost, b_);
    try {
      fill(page, kCount, 2, a_);
    } catch (const std::exception&) {
    }
    (void)cudaDeviceSynchronize();
    EXPECT_TRUE(contains(cudasim::take_findings(), "stream race"));
  });
}

TEST_F(StreamTest, CopiesOfNeighbouringBytesAreNoRace) {
  char* bytes = device<char>(64);
  char* host = pinned<char>(64);
  in_every_stream_mode(3, [&] {
    ASSERT_EQ(cudaMemcpyAsync(bytes, host, 31, cudaMemcpyHostToDevice, a_), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(bytes + 31, host, 33, cudaMemcpyHostToDevice, b_), cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudasim::num_findings(), 0u);
  });
}

TEST_F(StreamTest, TwoCopiesToOneByteAreFound) {
  char* bytes = device<char>(64);
  char* host = pinned<char>(64);
  in_every_stream_mode(3, [&] {
    (void)cudaMemcpyAsync(bytes, host, 32, cudaMemcpyHostToDevice, a_);
    (void)cudaMemcpyAsync(bytes + 31, host, 33, cudaMemcpyHostToDevice, b_);
    (void)cudaDeviceSynchronize();
    EXPECT_TRUE(contains(cudasim::take_findings(), "a write over what was written"));
  });
}

TEST_F(StreamTest, AFillOnTheLegacyStreamDoesNotOrderANonBlockingStream) {
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  float* x = device(kCount);
  ASSERT_EQ(cudaMemset(x, 0, kBytes), cudaSuccess);
  try {
    add(x, kCount, 1, a_);
  } catch (const std::exception&) {
  }
  (void)cudaStreamSynchronize(a_);
  EXPECT_TRUE(contains(cudasim::take_findings(), "stream race"));
}

TEST_F(StreamTest, TheHostOrdersWhatItHasWaitedFor) {
  float* x = device(kCount);
  in_every_stream_mode(3, [&] {
    fill(x, kCount, 1, a_);
    ASSERT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
    add(x, kCount, 1, b_);
    ASSERT_EQ(cudaStreamSynchronize(b_), cudaSuccess);
    EXPECT_EQ(cudasim::num_findings(), 0u);
  });
  EXPECT_EQ(download(x, kCount)[5], 2.0f);
}

TEST_F(StreamTest, PollingEnds) {
  float* x = device(kCount);
  in_every_stream_mode(3, [&] {
    fill(x, kCount, 1, a_);
    ASSERT_EQ(cudaEventRecord(event_, a_), cudaSuccess);
    int polls = 0;
    while (cudaEventQuery(event_) == cudaErrorNotReady) ASSERT_LT(++polls, 10000);
    ASSERT_EQ(cudaEventQuery(event_), cudaSuccess);
  });
}

TEST_F(StreamTest, LazyStreamsRunNothingUntilSomebodyWaits) {
  cudasim::settings().streams = cudasim::Settings::Streams::kLazy;
  const auto launches = [] { return cudasim::kernel_statistics("fill_kernel").launches; };
  float* x = device(kCount);
  const uint64_t before = launches();
  fill(x, kCount, 1, a_);
  EXPECT_EQ(launches(), before);
  ASSERT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
  EXPECT_EQ(launches(), before + 1);
}

TEST_F(StreamTest, RefusesDefaultStreamsPageableMemoryAndDeadHandles) {
  float* x = device(kCount);
  std::vector<float> pageable(kCount);
  EXPECT_NE(cudaMemsetAsync(x, 0, kBytes, nullptr), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "default stream"));
  EXPECT_NE(cudaMemcpyAsync(x, pageable.data(), kBytes, cudaMemcpyHostToDevice, a_), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "pageable"));
  cudaStream_t dead = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&dead, cudaStreamNonBlocking), cudaSuccess);
  ASSERT_EQ(cudaStreamDestroy(dead), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(dead), cudaErrorInvalidResourceHandle);
  EXPECT_TRUE(contains(cudasim::take_findings(), "no live stream"));
}

TEST_F(StreamTest, AHostFunctionMayNotCallCuda) {
  (void)cudaLaunchHostFunc(a_, [](void*) { (void)cudaDeviceSynchronize(); }, nullptr);
  (void)cudaStreamSynchronize(a_);
  EXPECT_TRUE(contains(cudasim::take_findings(), "from inside a stream operation"));
}

}  // namespace
}  // namespace self
