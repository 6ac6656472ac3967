// Backend::for_each: host work between ops.
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

#include "tests/support/kernels/backend_list.h"

namespace terrace {
namespace {

class HostThreadsTest : public BackendTest {};
INSTANTIATE_TEST_SUITE_P(Backends, HostThreadsTest, ::testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(HostThreadsTest, EachIndexIsCalledOnceAndAllBeforeTheReturn) {
  for (const int64_t count : {0, 1, 2, 7, 100}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
    backend_->for_each(count, [&](int64_t i) { ++calls.at(static_cast<size_t>(i)); });
    for (const auto& number : calls) EXPECT_EQ(number.load(), 1);
  }
}

TEST_P(HostThreadsTest, AFailureReachesTheCaller) {
  EXPECT_THROW(backend_->for_each(5, [](int64_t i) { if (i == 3) throw std::runtime_error("three"); }), std::runtime_error);
  std::atomic<int> calls = 0;
  backend_->for_each(4, [&](int64_t) { ++calls; });
  EXPECT_EQ(calls.load(), 4);
}

}  // namespace
}  // namespace terrace
