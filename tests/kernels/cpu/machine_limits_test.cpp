#include "kernels/cpu/machine_limits.h"

#include <gtest/gtest.h>

#include "kernels/backend.h"

namespace terrace {
namespace {

TEST(MachineLimitsTest, EveryIsaThatIsOfferedHasItsProbes) {
  ThreadPool pool(2);
  std::string instructions;
  for (const Isa isa : {Isa::kScalar, Isa::kAvx2, Isa::kAvx512, Isa::kVnni, Isa::kAmx}) {
    if (isa > detect_isa()) continue;
    const MachineLimits limits = measure_multiply_adds(pool, isa);
    EXPECT_GT(limits.int8_multiply_adds, 1e6) << limits.instructions;  // not against another's: a busy machine is unfair to some
    EXPECT_GT(limits.fp32_multiply_adds, 1e6);
    EXPECT_NE(limits.instructions, instructions);
    instructions = limits.instructions;
  }
}

TEST(MachineLimitsTest, ReadsASetOfAnySize) {
  ThreadPool pool(2);
  const auto backend = make_backend("cpu", {});
  for (const size_t bytes : {size_t{4096}, size_t{1'000'001}}) {
    const Buffer memory = backend->allocate(bytes);
    for (const Isa isa : {Isa::kScalar, detect_isa()}) EXPECT_GT(measure_read_rate(pool, isa, memory), 1e6) << bytes;
  }
  EXPECT_EQ(measure_read_rate(pool, Isa::kScalar, Buffer()), 0);
}

}  // namespace
}  // namespace terrace
