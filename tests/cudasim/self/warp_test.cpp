// What warp collectives, ldmatrix and mma give, in every order of lanes; shared memory's limits; bank conflicts.
#include <algorithm>
#include <bit>
#include <random>

#include "tests/cudasim/self/self_kernels.h"
#include "tests/cudasim/self/simulated_test.h"

namespace self {
namespace {

using Order = cudasim::Settings::Order;

class WarpTest : public SimulatedTest {
 protected:
  template <typename Body>
  void in_every_order(Body body) {
    for (const Order order : {Order::kInOrder, Order::kReverse, Order::kRandom, Order::kWarpFirst}) {
      SCOPED_TRACE(testing::Message() << "order " << static_cast<int>(order));
      cudasim::settings().order = order;
      body();
    }
  }
};

// The CUDA programming guide's words for each line of collectives_kernel.
uint32_t expected_collective(const std::vector<uint32_t>& v, int kind, int lane) {
  const auto at = [&](int i) { return v[static_cast<size_t>(i)]; };
  const auto fold = [&](auto body) {
    uint32_t sum = at(0);
    for (int i = 1; i < 32; ++i) sum = body(sum, at(i));
    return sum;
  };
  uint32_t odd = 0, equal = 0, both = ~0u;
  for (int i = 0; i < 32; ++i) odd |= (at(i) & 1) << i, equal |= static_cast<uint32_t>((at(i) & 3) == (at(lane) & 3)) << i, both &= at(i) | 0xf0;
  switch (kind) {
    case 0: return at(5);
    case 1: return at(lane / 8 * 8 + 1);
    case 2: return lane < 3 ? at(lane) : at(lane - 3);
    case 3: return lane % 16 + 3 > 15 ? at(lane) : at(lane + 3);
    case 4: return at(lane ^ 17);
    case 5: return odd;
    case 6: return std::find(v.begin(), v.end(), 7u) != v.end();
    case 7: return std::all_of(v.begin(), v.end(), [](uint32_t x) { return x < 1000000; });
    case 8: return equal;
    case 9: return fold([](uint32_t a, uint32_t b) { return a + b; });
    case 10: return *std::min_element(v.begin(), v.end());
    case 11: return *std::max_element(v.begin(), v.end());
    case 12: return both;
    case 13: return fold([](uint32_t a, uint32_t b) { return a | b; });
    case 14: return static_cast<uint32_t>(-20);
    default: return at(lane < 16 ? lane ^ 1 : lane ^ 2);
  }
}

TEST_F(WarpTest, CollectivesGiveWhatTheGuideSays) {
  std::mt19937 random(1);
  std::vector<uint32_t> values(32);
  for (uint32_t& value : values) value = random();
  const uint32_t* in = upload(values);
  in_every_order([&] {
    uint32_t* out = device<uint32_t>(kNumCollectives * 32);
    collectives(in, out, a_);
    const auto found = download(out, kNumCollectives * 32);
    for (int kind = 0; kind < kNumCollectives; ++kind) {
      for (int lane = 0; lane < 32; ++lane) ASSERT_EQ(found[static_cast<size_t>(kind * 32 + lane)], expected_collective(values, kind, lane)) << "kind " << kind << " lane " << lane;
    }
  });
}

// Small integers are exact in f16 and bf16: the result is exact too, so a permuted fragment cannot hide.
TEST_F(WarpTest, MultipliesByTheDefinition) {
  std::mt19937 random(2);
  for (const bool bf16 : {false, true}) {
    for (const bool transposed : {false, true}) {
      const auto bits = [&](int value) {
        const auto wide = std::bit_cast<uint32_t>(static_cast<float>(value));
        if (bf16) return static_cast<uint16_t>(wide >> 16);
        const uint32_t half = value == 0 ? 0 : (((wide >> 23 & 255) - 112) << 10 | (wide >> 13 & 1023)) | wide >> 31 << 15;
        return static_cast<uint16_t>(half);
      };
      int a[16][16], b[8][16];
      std::vector<uint16_t> a_bits, b_bits(16 * 8);
      for (auto& row : a) {
        for (int& value : row) value = static_cast<int>(random() % 15) - 7, a_bits.push_back(bits(value));
      }
      for (int n = 0; n < 8; ++n) {
        for (int k = 0; k < 16; ++k) b[n][k] = static_cast<int>(random() % 15) - 7, b_bits[static_cast<size_t>(transposed ? k * 8 + n : n * 16 + k)] = bits(b[n][k]);
      }
      float* c = device(16 * 8);
      multiply(upload(a_bits), upload(b_bits), c, bf16, transposed, a_);
      const auto found = download(c, 16 * 8);
      for (int m = 0; m < 16; ++m) {
        for (int n = 0; n < 8; ++n) {
          int sum = 0;
          for (int k = 0; k < 16; ++k) sum += a[m][k] * b[n][k];
          ASSERT_EQ(found[static_cast<size_t>(m * 8 + n)], static_cast<float>(sum)) << bf16 << transposed << m << n;
        }
      }
    }
  }
}

TEST_F(WarpTest, CountsBankConflictsOfLdmatrix) {
  const auto conflicts = [&](int row_bytes) {
    const uint64_t before = cudasim::kernel_statistics("load_rows").ldmatrix_conflicts;
    load_rows(device<uint32_t>(32), row_bytes, a_);
    EXPECT_EQ(cudaStreamSynchronize(a_), cudaSuccess);
    return cudasim::kernel_statistics("load_rows").ldmatrix_conflicts - before;
  };
  EXPECT_EQ(conflicts(16), 0u);
  EXPECT_EQ(conflicts(128 + 16), 0u);
  EXPECT_EQ(conflicts(128), 4u * 7);
  EXPECT_EQ(conflicts(64), 4u * 6);
}

TEST_F(WarpTest, MoreThan48KiBOfSharedMemoryMustBeAskedFor) {
  float* out = device(1);
  use_shared(out, 48 << 10, false, a_);
  EXPECT_EQ(download(out, 1)[0], 3.0f);
  EXPECT_ANY_THROW(use_shared(out, (48 << 10) + 16, false, a_));
  EXPECT_ANY_THROW(use_shared(out, (163 << 10) + 16, true, a_));
  use_shared(out, 100 << 10, true, a_);
  EXPECT_EQ(download(out, 1)[0], 3.0f);
}

TEST_F(WarpTest, BlocksRunInMoreThanOneOrder) {
  cudasim::settings().order = Order::kRandom;
  std::vector<int> last;
  for (int i = 0; i < 10; ++i) {
    int* out = upload(std::vector<int>{-1});
    last_block(out, 8, a_);
    last.push_back(download(out, 1)[0]);
  }
  EXPECT_NE(std::count(last.begin(), last.end(), last.front()), 10);
}

}  // namespace
}  // namespace self
