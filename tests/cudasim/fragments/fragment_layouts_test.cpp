// ldmatrix and mma of the simulator, through kernels/cuda/ptx.cuh, against CuTe's description of the fragments.
#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "tests/cudasim/core.h"
#include "tests/cudasim/fragments/fragment_kernels.h"
#include "tests/cudasim/fragments/fragment_layouts.h"
#include "tests/cudasim/ptx/number_formats.h"

namespace fragments {
namespace {

class FragmentLayouts : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess); }
  void TearDown() override {
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    for (void* memory : device_) EXPECT_EQ(cudaFree(memory), cudaSuccess);
    for (void* memory : host_) EXPECT_EQ(cudaFreeHost(memory), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_TRUE(cudasim::take_findings().empty());
  }

  template <typename T>
  T* on_device(const std::vector<T>& values) {
    void *device = nullptr, *host = nullptr;
    EXPECT_EQ(cudaMalloc(&device, values.size() * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMallocHost(&host, values.size() * sizeof(T)), cudaSuccess);
    device_.push_back(device);
    host_.push_back(host);
    std::copy(values.begin(), values.end(), static_cast<T*>(host));
    EXPECT_EQ(cudaMemcpyAsync(device, host, values.size() * sizeof(T), cudaMemcpyHostToDevice, stream_), cudaSuccess);
    return static_cast<T*>(device);
  }

  template <typename T>
  std::vector<T> from_device(const T* device, size_t count) {
    void* host = nullptr;
    EXPECT_EQ(cudaMallocHost(&host, count * sizeof(T)), cudaSuccess);
    host_.push_back(host);
    EXPECT_EQ(cudaMemcpyAsync(host, device, count * sizeof(T), cudaMemcpyDeviceToHost, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    return {static_cast<T*>(host), static_cast<T*>(host) + count};
  }

  cudaStream_t stream_ = nullptr;
  std::vector<void*> device_, host_;
};

TEST_F(FragmentLayouts, OfLdmatrixAreThoseOfCute) {
  std::vector<uint16_t> elements(256);
  for (size_t k = 0; k < elements.size(); ++k) elements[k] = static_cast<uint16_t>(k);
  for (const bool transposed : {false, true}) {
    uint32_t* out = on_device(std::vector<uint32_t>(128));
    launch_ldmatrix(out, on_device(elements), transposed, stream_);
    const std::vector<uint32_t> got = from_device(out, 128);
    const Layout& layout = transposed ? kLdmatrixTransposed : kLdmatrix;
    for (int lane = 0; lane < 32; ++lane) {
      for (int value = 0; value < 8; ++value) {
        const uint32_t both = got[static_cast<size_t>(4 * lane + value / 2)];
        ASSERT_EQ(static_cast<int>(both >> (16 * (value % 2)) & 0xFFFF), layout(lane, value) / 16) << layout.name << " lane " << lane << " value " << value;
      }
    }
  }
}

/// Numbers that a sum tells apart: products and sums are small integers, exact in float.
TEST_F(FragmentLayouts, OfMmaAreThoseOfCute) {
  std::mt19937 random(1);
  for (const bool bf16 : {false, true}) {
    const auto bits = [&](int number) {
      return static_cast<uint32_t>(bf16 ? cudasim::ptx::float_to_bf16(static_cast<float>(number)) : cudasim::ptx::float_to_f16(static_cast<float>(number)));
    };
    int a[16 * 16], b[8 * 16];
    for (int& each : a) each = static_cast<int>(random() % 65) - 32;
    for (int& each : b) each = static_cast<int>(random() % 65) - 32;
    std::vector<uint32_t> a_lanes(128), b_lanes(64);
    for (int lane = 0; lane < 32; ++lane) {
      for (int value = 0; value < 8; ++value) a_lanes[static_cast<size_t>(4 * lane + value / 2)] |= bits(a[kA(lane, value)]) << (16 * (value % 2));
      for (int value = 0; value < 4; ++value) b_lanes[static_cast<size_t>(2 * lane + value / 2)] |= bits(b[kB(lane, value)]) << (16 * (value % 2));
    }
    float* d = on_device(std::vector<float>(128));
    launch_mma(d, on_device(a_lanes), on_device(b_lanes), bf16, stream_);
    const std::vector<float> got = from_device(d, 128);
    for (int lane = 0; lane < 32; ++lane) {
      for (int value = 0; value < 4; ++value) {
        const int m = kC(lane, value) % 16, n = kC(lane, value) / 16;
        int expected = 0;
        for (int k = 0; k < 16; ++k) expected += a[m + 16 * k] * b[n + 8 * k];
        ASSERT_EQ(got[static_cast<size_t>(4 * lane + value)], static_cast<float>(expected)) << "lane " << lane << " value " << value;
      }
    }
  }
}

}  // namespace
}  // namespace fragments
