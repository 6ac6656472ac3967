// Device memory is closed to the host, fresh memory is poison, freed memory never comes back, and pinned memory belongs to the copy until the host has waited for it.
#include <cmath>
#include <cstring>

#include "tests/cudasim/self/self_kernels.h"
#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

constexpr int kCount = 3000;  // floats: more than two pages
constexpr size_t kBytes = kCount * sizeof(float);

class MemoryTest : public SimulatedTest {};
class MemoryDeathTest : public SimulatedTest {
 protected:
  void SetUp() override {
    SimulatedTest::SetUp();
    cudasim::settings().streams = cudasim::Settings::Streams::kEager;  // the copy may even have run: the host still has not waited
  }
};

// Where a sanitizer does not let the process go on from a fault, it only has to die.
testing::ExitedWithCode stopped() { return testing::ExitedWithCode(87); }

TEST_F(MemoryTest, FreshDeviceMemoryIsPoison) {
  for (const float value : download(device(kCount), kCount)) ASSERT_TRUE(std::isnan(value));
}

TEST_F(MemoryTest, RunsOutAndGivesBack) {
  size_t free_before = 0, free_now = 0, total = 0;
  ASSERT_EQ(cudaMemGetInfo(&free_before, &total), cudaSuccess);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, total + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&memory, 8 << 20), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_now, &total), cudaSuccess);
  EXPECT_EQ(free_before - free_now, size_t{8} << 20);
  void* again = nullptr;
  ASSERT_EQ(cudaFree(memory), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&again, 8 << 20), cudaSuccess);
  EXPECT_NE(again, memory);
  ASSERT_EQ(cudaFree(again), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_now, &total), cudaSuccess);
  EXPECT_EQ(free_now, free_before);
}

TEST_F(MemoryTest, KnowsWhatAnAddressIs) {
  float* memory = device(kCount);
  EXPECT_EQ(cudasim::find_allocation(memory + 5, 4).kind, cudasim::MemoryKind::kDevice);
  EXPECT_EQ(cudasim::find_allocation(memory + kCount - 1, 8).kind, cudasim::MemoryKind::kPastEnd);
  EXPECT_EQ(cudasim::find_allocation(memory + kCount, 4).kind, cudasim::MemoryKind::kPastEnd);
  float local = 0;
  EXPECT_EQ(cudasim::find_allocation(&local, 4).kind, cudasim::MemoryKind::kUnknown);
  EXPECT_EQ(cudasim::find_allocation(pinned(4) + 1, 4).kind, cudasim::MemoryKind::kPinned);
}

TEST_F(MemoryTest, FindsCopiesPastTheEndAndAfterFree) {
  float* memory = device(kCount);
  float* host = pinned(2 * kCount);
  EXPECT_NE(cudaMemcpyAsync(memory, host, kBytes + 4, cudaMemcpyHostToDevice, a_), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "and leave it"));
  void* freed = nullptr;
  ASSERT_EQ(cudaMalloc(&freed, kBytes), cudaSuccess);
  ASSERT_EQ(cudaFree(freed), cudaSuccess);
  EXPECT_NE(cudaMemcpyAsync(freed, host, kBytes, cudaMemcpyHostToDevice, a_), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "freed"));
  EXPECT_NE(cudaFree(freed), cudaSuccess);
  EXPECT_TRUE(contains(cudasim::take_findings(), "no live allocation"));
}

TEST_F(MemoryTest, AFindingIsForEver) {
  EXPECT_NE(cudaMemsetAsync(device(4), 0, 16, nullptr), cudaSuccess);
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, 16), cudaErrorLaunchFailure);
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaErrorLaunchFailure);
  EXPECT_EQ(cudasim::take_findings().size(), 1u);
  EXPECT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
}

TEST_F(MemoryTest, TheHostMayTouchPinnedMemoryBesideACopyAndAfterIt) {
  float* memory = device(kCount);
  float* host = pinned(kCount);
  in_every_stream_mode(3, [&] {
    ASSERT_EQ(cudaMemsetAsync(memory, 0, kBytes, a_), cudaSuccess);
    ASSERT_EQ(cudaMemcpyAsync(host, memory, 40, cudaMemcpyDeviceToHost, a_), cudaSuccess);
    host[10] = 5;  // the same page
    EXPECT_EQ(host[10], 5);
    ASSERT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
    EXPECT_EQ(host[9], 0);
    host[9] = 1;
  });
}

TEST_F(MemoryDeathTest, TheHostMayNotTouchDeviceMemory) {
  float* memory = device(kCount);
  EXPECT_EXIT(memory[3] = 1, stopped(), "host code touches device memory: offset 12 of");
}

TEST_F(MemoryDeathTest, TheHostMayNotReadPinnedMemoryBeforeItHasWaited) {
  float* memory = upload(std::vector<float>(kCount, 1.0f));
  float* host = pinned(kCount);
  ASSERT_EQ(cudaMemcpyAsync(host, memory, kBytes, cudaMemcpyDeviceToHost, a_), cudaSuccess);
  EXPECT_EXIT({ const float volatile value = host[7]; (void)value; }, stopped(), "before it has waited for \"copy of 12000 bytes to the host\"");
}

TEST_F(MemoryDeathTest, TheHostMayNotWritePinnedMemoryUnderACopyButMayReadIt) {
  float* memory = device(kCount);
  float* host = pinned(kCount);
  std::memset(host, 0, kBytes);
  ASSERT_EQ(cudaMemcpyAsync(memory, host, kBytes, cudaMemcpyHostToDevice, a_), cudaSuccess);
  EXPECT_EQ(host[7], 0.0f);
  EXPECT_EXIT(host[7] = 1, stopped(), "host code writes pinned memory");
}

TEST_F(MemoryDeathTest, TheHostMayNotWritePinnedMemoryThatAKernelReadsBeforeItHasWaited) {
  float* memory = device(kCount);
  float* host = pinned(kCount);
  std::memset(host, 0, kBytes);
  copy(host, memory, kCount, a_);
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  EXPECT_EQ(host[7], 0.0f);
  EXPECT_EXIT(host[7] = 1, stopped(), "host code writes pinned memory");
  ASSERT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
  host[7] = 1;
}

TEST_F(MemoryTest, ADeviceMayHaveRegisteredMemoryElsewhere) {
  if (cudasim::kAsan) GTEST_SKIP() << "kernels tell their accesses only without AddressSanitizer";
  cudasim::settings().streams = cudasim::Settings::Streams::kLazy;  // else the launch itself may fail
  alignas(4096) static float host[kCount];
  ASSERT_EQ(cudaHostRegister(host, kBytes, cudaHostRegisterDefault), cudaSuccess);
  float* memory = device(kCount);
  copy(host, memory, kCount, a_);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  cudasim::settings().host_pointers = false;
  copy(host, memory, kCount, a_);
  (void)cudaDeviceSynchronize();
  EXPECT_TRUE(contains(cudasim::take_findings(), "an address that is the host's only"));
  ASSERT_EQ(cudaHostUnregister(host), cudaSuccess);
}

TEST_F(MemoryDeathTest, AKernelMayNotTouchFreedOrOrdinaryMemory) {
  if (cudasim::checker() != nullptr) GTEST_SKIP() << "the checker says so first";
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(reinterpret_cast<void**>(&memory), kBytes), cudaSuccess);
  ASSERT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_EXIT({ fill(memory, kCount, 1, a_); (void)cudaDeviceSynchronize(); }, stopped(), "freed allocation");
}

}  // namespace
}  // namespace self
