// Every bug is found and every clean twin is silent, in whatever order lanes run. Runs twice: kernels as C++, and (CUDASIM_PTX) as nvcc's PTX.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cudasim/bugs/bug_kernels.h"
#include "tests/cudasim/core.h"

namespace bugs {
static void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }
}  // namespace bugs

namespace {

std::vector<bugs::Case> all_cases() {
  std::vector<bugs::Case> all;
  for (const auto& list : {bugs::shared_memory_cases(), bugs::warp_cases(), bugs::device_memory_cases(), bugs::async_copy_cases()}) all.insert(all.end(), list.begin(), list.end());
  return all;
}

class SeededBugs : public testing::TestWithParam<bugs::Case> {
 protected:
  void SetUp() override {
    if (cudasim::checker() == nullptr) GTEST_SKIP() << "the kernels are instrumented for a sanitizer, not for the checker";
    if (GetParam().path == bugs::Path::kPtxOnly && !cudasim::ptx_wanted()) GTEST_SKIP() << "shows only in what nvcc emits: run with CUDASIM_PTX";
  }
  void TearDown() override { cudasim::settings() = before_; }

  /// With memory of its own each time: what has been found uninitialised once is not found again.
  std::vector<std::string> run() {
    bugs::Memory memory{};
    cudaStream_t stream = nullptr;
    for (float** each : {&memory.zeros, &memory.fresh}) EXPECT_EQ(cudaMalloc(reinterpret_cast<void**>(each), 4096 * sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaMemsetAsync(memory.zeros, 0, 4096 * sizeof(float), stream), cudaSuccess);
    try {
      GetParam().launch(memory, stream);
    } catch (const std::exception&) {  // the stream may run it at once
    }
    (void)cudaStreamSynchronize(stream);
    std::vector<std::string> found = cudasim::take_findings();
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
    EXPECT_EQ(cudaFree(memory.zeros), cudaSuccess);
    EXPECT_EQ(cudaFree(memory.fresh), cudaSuccess);
    return found;
  }

  const cudasim::Settings before_ = cudasim::settings();
};

TEST_P(SeededBugs, AreFoundInEveryOrder) {
  using Order = cudasim::Settings::Order;
  for (const Order order : {Order::kInOrder, Order::kReverse, Order::kRandom, Order::kWarpFirst}) {
    cudasim::settings().order = order;
    const std::vector<std::string> found = run();
    const std::string trace = fmt::format("order {}; found: {}", static_cast<int>(order), fmt::join(found, "; "));
    if (GetParam().findings.empty()) {
      EXPECT_TRUE(found.empty()) << trace;
    } else {
      EXPECT_TRUE(std::any_of(found.begin(), found.end(), [&](const std::string& sentence) {
        return std::any_of(GetParam().findings.begin(), GetParam().findings.end(), [&](const std::string& part) { return sentence.find(part) != std::string::npos; });
      })) << trace;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, SeededBugs, testing::ValuesIn(all_cases()), [](const auto& one) { return std::string(one.param.name); });

}  // namespace
