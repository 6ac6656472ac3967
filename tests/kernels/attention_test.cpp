// Attention on every backend: right against a double reference, and (LAW 4) the same bits for a token however it is
// computed.
#include <gtest/gtest.h>

#include <cmath>

#include "tests/support/kernels/attention_world.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

/// Attention on a device is the same in both numerics: one case will do.
std::vector<BackendCase> attention_cases() {
  std::vector<BackendCase> cases = backend_cases();
  std::erase_if(cases, [](const BackendCase& backend) { return backend.name == "cuda_fast"; });
  return cases;
}

int64_t columns(const AttentionWorldOptions& options) { return static_cast<int64_t>(options.kv_head_of_q.size()) * options.head_dim; }

class AttentionTest : public BackendTest {
 protected:
  // The simulator takes some thousand times as long: there, sequences are only as long as the pieces' ends ask for, with fewer heads.
  static int32_t length(int32_t whole, int32_t simulated) { return GetParam().half_products ? simulated : whole; }

  // Small heads keep the scalar backend quick; lengths cross the pieces' ends at 256 and 512.
  static AttentionWorldOptions small_world(std::vector<int32_t> lengths) {
    AttentionWorldOptions options;
    options.lengths = std::move(lengths);
    options.head_dim = 16;
    if (GetParam().half_products) {
      options.kv_head_of_q = {0, 0, 0, 1};
      options.num_kv_heads = 2;
    }
    return options;
  }

  static void expect_close(const AttentionWorld& world, int32_t sequence, const std::vector<int32_t>& positions, int64_t cols) {
    const std::vector<float>& output = world.output(sequence);
    for (const int32_t position : positions) {
      const AttentionWorld::Expected expected = world.expected(sequence, position);
      for (int64_t i = 0; i < cols; ++i) {
        const float actual = output[static_cast<size_t>(position * cols + i)];
        const double tolerance = 5e-6 + (GetParam().half_products ? expected.half_error[static_cast<size_t>(i)] : 0.0);
        ASSERT_NEAR(actual, expected.output[static_cast<size_t>(i)], tolerance) << "position " << position << " column " << i;
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionTest, testing::ValuesIn(attention_cases()), backend_case_name);

TEST_P(AttentionTest, MatchesTheReferenceForEveryHeadSizeAndType) {
  for (const int32_t head_dim : {64, 80, 96, 128, 256, 20}) {
    for (const DType dtype : {DType::kF16, DType::kBF16, DType::kF32}) {
      AttentionWorldOptions options;
      options.lengths = {70};
      options.head_dim = head_dim;
      options.dtype = dtype;
      AttentionWorld world(*backend_, options);
      world.step({{0, 33}});
      world.step({{0, 1}});
      world.step({{0, 36}});
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " " << dtype_info(dtype).name);
      expect_close(world, 0, {0, 1, 31, 33, 34, 69}, columns(options));
    }
  }
}

TEST_P(AttentionTest, MatchesTheReferenceOverManyPieces) {
  const int32_t last = length(1099, 520);
  const AttentionWorldOptions options = small_world({last + 1});
  AttentionWorld world(*backend_, options);
  world.step({{0, last}});
  world.step({{0, 1}});
  std::vector<int32_t> positions = {255, 256, 257, 511, 512, 800, 1023, 1024, last - 1, last};
  std::erase_if(positions, [last](int32_t position) { return position > last; });
  expect_close(world, 0, positions, columns(options));
}

TEST_P(AttentionTest, ServesHeadsThatShardsCutUnevenly) {
  for (const std::vector<int32_t>& kv_head_of_q :
       {std::vector<int32_t>{0, 0, 0, 1, 1}, {0, 1, 1, 1}, {0}, {0, 1, 2}, {0, 0, 0, 0, 0, 0, 0, 0}}) {
    AttentionWorldOptions options = small_world({300});
    options.kv_head_of_q = kv_head_of_q;
    options.num_kv_heads = kv_head_of_q.back() + 1;
    AttentionWorld world(*backend_, options);
    world.step({{0, 299}});
    world.step({{0, 1}});
    expect_close(world, 0, {0, 7, 254, 255, 256, 298, 299}, columns(options));
  }
}

TEST_P(AttentionTest, ServesMoreQueryHeadsThanATileHasRows) {
  AttentionWorldOptions options = small_world({70});
  options.kv_head_of_q = std::vector<int32_t>(70, 0);
  options.num_kv_heads = 1;
  AttentionWorld world(*backend_, options);
  world.step({{0, 69}});
  world.step({{0, 1}});
  expect_close(world, 0, {0, 31, 32, 68, 69}, columns(options));
}

// Scores as ever, but no query fits into f16.
TEST_P(AttentionTest, ServesQueriesBeyondTheRangeOf16Bits) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    AttentionWorldOptions options = small_world({40});
    options.dtype = dtype;
    options.q_deviation = 0x1p21f;
    options.k_deviation = 0x1p-20f;
    AttentionWorld world(*backend_, options);
    world.step({{0, 39}});
    world.step({{0, 1}});
    expect_close(world, 0, {0, 20, 39}, columns(options));
  }
}

TEST_P(AttentionTest, WorksWithEveryPageSize) {
  for (const int32_t page_tokens : {1, 2, 8, 32, 64, 256}) {
    AttentionWorldOptions options = small_world({length(290, 260)});
    options.page_tokens = page_tokens;
    AttentionWorld world(*backend_, options);
    world.finish(0, 145);
    expect_close(world, 0, {0, 144, 145, 255, 256, options.lengths[0] - 1}, columns(options));
  }
}

TEST_P(AttentionTest, BitsDoNotDependOnChunking) {
  const AttentionWorldOptions options = small_world({length(530, 290)});
  AttentionWorld whole(*backend_, options);
  whole.finish(0, 530);
  for (const int32_t chunk : {1, 16, 100, 257}) {
    AttentionWorld chunked(*backend_, options);
    chunked.finish(0, chunk);
    EXPECT_TRUE(same_bits(whole.output(0), chunked.output(0))) << "chunks of " << chunk;
  }
}

TEST_P(AttentionTest, BitsDoNotDependOnTheBatch) {
  const std::vector<int32_t> lengths = {length(530, 280), 40, length(600, 520), 1, 300};
  AttentionWorld batch(*backend_, small_world(lengths));
  batch.step({{0, 100}, {1, 39}, {2, lengths[2] - 2}});
  batch.step({{4, 256}, {0, lengths[0] - 120}, {2, 1}});
  batch.step({{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}});
  batch.step({{4, 43}, {0, 19}});
  AttentionWorld alone(*backend_, small_world(lengths));
  for (int32_t i = 0; i < 5; ++i) {
    alone.finish(i, lengths[static_cast<size_t>(i)]);
    EXPECT_TRUE(same_bits(alone.output(i), batch.output(i))) << "sequence " << i;
  }
}

TEST_P(AttentionTest, ALaterTokenNeverTouchesAnEarlierOne) {
  AttentionWorldOptions options = small_world({300});
  AttentionWorld clean(*backend_, options);
  clean.finish(0, 300);
  for (const int32_t nan_from : {1, 100, 259}) {
    options.nan_from = nan_from;
    AttentionWorld spoilt(*backend_, options);
    spoilt.finish(0, 300);
    const size_t earlier = static_cast<size_t>(nan_from * columns(options));
    EXPECT_TRUE(same_bits({clean.output(0).begin(), clean.output(0).begin() + static_cast<int64_t>(earlier)},
                          {spoilt.output(0).begin(), spoilt.output(0).begin() + static_cast<int64_t>(earlier)}));
    EXPECT_TRUE(std::isnan(spoilt.output(0)[earlier]));
  }
}

TEST_P(AttentionTest, EveryBackendOfAKindYieldsTheSameBits) {
  if (!GetParam().bit_equal_to_first) GTEST_SKIP() << "other arithmetic by design";
  const std::unique_ptr<Backend> first = backend_cases().front().make();
  for (const int32_t head_dim : {64, 20}) {
    AttentionWorldOptions options;
    options.lengths = {270};
    options.head_dim = head_dim;
    AttentionWorld expected(*first, options);
    expected.finish(0, 270);
    AttentionWorld actual(*backend_, options);
    actual.finish(0, 100);
    EXPECT_TRUE(same_bits(expected.output(0), actual.output(0))) << "head_dim " << head_dim;
  }
}

}  // namespace
}  // namespace terrace
