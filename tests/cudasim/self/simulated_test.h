// What every test of the simulator itself has: device and pinned buffers, streams with names, settings put back, and no finding left behind.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/cudasim/core.h"
#include "tests/cudasim/fiber.h"

namespace self {

class SimulatedTest : public testing::Test {
 protected:
  ~SimulatedTest() override { cudasim::settings() = before_; }

  void SetUp() override {
    for (cudaStream_t* stream : {&a_, &b_}) ASSERT_EQ(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), cudaSuccess);
    for (cudaEvent_t* event : {&event_, &other_event_}) ASSERT_EQ(cudaEventCreateWithFlags(event, cudaEventDisableTiming), cudaSuccess);
  }

  void TearDown() override {
    (void)cudaDeviceSynchronize();
    const auto left = cudasim::take_findings();
    EXPECT_TRUE(left.empty()) << left.front();
    for (cudaStream_t stream : {a_, b_}) EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    for (cudaEvent_t event : {event_, other_event_}) EXPECT_EQ(cudaEventDestroy(event), cudaSuccess);
    for (void* memory : device_) EXPECT_EQ(cudaFree(memory), cudaSuccess);
    for (void* memory : pinned_) EXPECT_EQ(cudaFreeHost(memory), cudaSuccess);
    (void)cudaGetLastError();
  }

  template <typename T = float>
  T* device(size_t count) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, count * sizeof(T)), cudaSuccess);
    device_.push_back(memory);
    return static_cast<T*>(memory);
  }

  template <typename T = float>
  T* pinned(size_t count) {
    void* memory = nullptr;
    EXPECT_EQ(cudaHostAlloc(&memory, count * sizeof(T), cudaHostAllocDefault), cudaSuccess);
    pinned_.push_back(memory);
    return static_cast<T*>(memory);
  }

  template <typename T>
  T* upload(const std::vector<T>& values) {
    T* memory = device<T>(values.size());
    EXPECT_EQ(cudaMemcpy(memory, values.data(), values.size() * sizeof(T), cudaMemcpyHostToDevice), cudaSuccess);
    return memory;
  }

  template <typename T>
  std::vector<T> download(const T* memory, size_t count) {
    std::vector<T> values(count);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(values.data(), memory, count * sizeof(T), cudaMemcpyDeviceToHost), cudaSuccess);
    return values;
  }

  static bool contains(const std::vector<std::string>& found, const std::string& part) {
    for (const std::string& sentence : found) {
      if (sentence.find(part) != std::string::npos) return true;
    }
    return false;
  }

  cudaStream_t a_ = nullptr, b_ = nullptr;
  cudaEvent_t event_ = nullptr, other_event_ = nullptr;

 private:
  const cudasim::Settings before_ = cudasim::settings();
  std::vector<void*> device_, pinned_;
};

/// Body once for each way of running streams, and each of some seeds; the devices' random numbers go on, so every round differs.
template <typename Body>
void in_every_stream_mode(int rounds, Body body) {
  using Streams = cudasim::Settings::Streams;
  for (const Streams mode : {Streams::kLazy, Streams::kRandom, Streams::kEager}) {
    cudasim::settings().streams = mode;
    SCOPED_TRACE(testing::Message() << "stream mode " << static_cast<int>(mode));
    for (int round = 0; round < rounds; ++round) body();
  }
}

}  // namespace self
