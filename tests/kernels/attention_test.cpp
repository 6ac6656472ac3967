// Attention on every backend: right against a double reference, and (LAW 4) the same bits for a token however it is
// computed.
#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "kernels/base/error.h"
#include "tests/support/kernels/attention_world.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

int64_t columns(const AttentionWorldOptions& options) { return static_cast<int64_t>(options.kv_head_of_q.size()) * options.head_dim; }

class AttentionTest : public BackendTest {
 protected:
  // The simulator takes some thousand times as long: there, sequences are only as long as the pieces' ends ask for, with fewer heads.
  static int32_t length(int32_t whole, int32_t simulated) { return GetParam().half_products ? simulated : whole; }

  // Both of its rows are other formats' too.
  static bool is_left_out(KvFormat format) { return GetParam().half_products && format == KvFormat(KvType::kQ8, KvType::kQ4); }

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
    for (const NamedKvFormat& named : kKvFormats) {
      if (is_left_out(named.format)) continue;
      AttentionWorldOptions options;
      options.lengths = {70};
      options.head_dim = head_dim;
      options.format = named.format;
      AttentionWorld world(*backend_, options);
      world.step({{0, 33}});
      world.step({{0, 1}});
      world.step({{0, 36}});
      SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << " " << named.name);
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
  for (const KvType type : {KvType::kF16, KvType::kBF16}) {
    AttentionWorldOptions options = small_world({40});
    options.format = type;
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

TEST_P(AttentionTest, MatchesTheReferenceOverManyPiecesOfFewBits) {
  for (const KvFormat format : {KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    if (is_left_out(format)) continue;
    AttentionWorldOptions options = small_world({521});
    options.format = format;
    AttentionWorld world(*backend_, options);
    world.step({{0, 519}});
    world.step({{0, 1}});
    world.step({{0, 1}});
    expect_close(world, 0, {0, 255, 256, 511, 512, 519, 520}, columns(options));
  }
}

TEST_P(AttentionTest, BitsDoNotDependOnChunking) {
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16), KvFormat(KvType::kQ4), KvFormat(KvType::kQ8, KvType::kQ4), KvFormat(KvType::kF8)}) {
    if (is_left_out(format)) continue;
    AttentionWorldOptions options = small_world({length(530, 290)});
    options.format = format;
    AttentionWorld whole(*backend_, options);
    whole.finish(0, 530);
    for (const int32_t chunk : {1, 16, 100, 257}) {
      if (GetParam().half_products && is_rotated_key(format.k) && chunk != 100) continue;
      AttentionWorld chunked(*backend_, options);
      chunked.finish(0, chunk);
      EXPECT_TRUE(same_bits(whole.output(0), chunked.output(0))) << kv_format_name(format) << ", chunks of " << chunk;
    }
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

// Floats of 8 bits have a NaN of their own.
TEST_P(AttentionTest, NaNIn8BitPagesIsReadAsSuchAndByNobodyElse) {
  AttentionWorldOptions options = small_world({40});
  options.format = KvType::kF8;
  options.nan_from = 20;
  AttentionWorld world(*backend_, options);
  world.step({{0, 33}});
  world.finish(0, 1);
  const auto first = static_cast<size_t>(20 * columns(options));
  for (size_t i = 0; i < world.output(0).size(); ++i) ASSERT_EQ(std::isnan(world.output(0)[i]), i >= first) << i;
}

// Smaller and larger than a page, a piece and the context. Pages out of the window are lost (attention_world.h).
TEST_P(AttentionTest, MatchesTheReferenceInEveryWindow) {
  const int32_t last = length(1099, 560);
  const std::vector<AttentionWindow> windows = {{1, 0}, {7, 4}, {33, 0}, {33, 17}, {100, 1}, {256, 0}, {300, 270}, {520, 4}, {2000, 3}};
  for (size_t i = 0; i < windows.size(); ++i) {
    for (const int32_t page_tokens : {1, 16, 64}) {
      if (GetParam().half_products && page_tokens != (i % 2 == 0 ? 16 : 1)) continue;
      AttentionWorldOptions options = small_world({last + 1});
      options.window = windows[i];
      options.page_tokens = page_tokens;
      if (i % 2 == 1 && page_tokens == 16) options.format = KvType::kQ8;
      if (page_tokens == 64 || (GetParam().half_products && i > 5)) options.format = i % 2 == 1 ? KvFormat(KvType::kQ4) : KvFormat(KvType::kQ8, KvType::kQ4);
      options.soft_cap = i % 3 == 0 ? 1.5f : 0.0f;
      AttentionWorld world(*backend_, options);
      world.step({{0, last - 40}});
      for (const int32_t chunk : {1, 20, 18, 1, 1}) world.step({{0, chunk}});
      SCOPED_TRACE(testing::Message() << "window " << windows[i].size << ", " << windows[i].sinks << " sinks, pages of " << page_tokens);
      std::vector<int32_t> positions = {0, 6, 32, 255, 256, 300, 511, 512, 545, 800, 1023, 1024, last - 40, last - 39, last - 2, last};
      std::erase_if(positions, [last](int32_t position) { return position > last; });
      expect_close(world, 0, positions, columns(options));
    }
  }
}

TEST_P(AttentionTest, CapsScoresSoftly) {
  for (const float soft_cap : {0.5f, 5.0f, 50.0f}) {
    for (const NamedKvFormat& named : kKvFormats) {
      if (is_left_out(named.format)) continue;
      AttentionWorldOptions options = small_world({70});
      options.soft_cap = soft_cap;
      options.format = named.format;
      AttentionWorld world(*backend_, options);
      world.step({{0, 69}});
      world.step({{0, 1}});
      expect_close(world, 0, {0, 1, 31, 33, 69}, columns(options));
    }
  }
}

TEST_P(AttentionTest, CapsScoresOfQueriesBeyondTheRangeOf16Bits) {
  AttentionWorldOptions options = small_world({40});
  options.soft_cap = 2.0f;
  options.q_deviation = 0x1p21f;
  options.k_deviation = 0x1p-20f;
  AttentionWorld world(*backend_, options);
  world.step({{0, 39}});
  world.step({{0, 1}});
  expect_close(world, 0, {0, 20, 39}, columns(options));
}

TEST_P(AttentionTest, BitsOfAWindowDoNotDependOnChunkingOrBatch) {
  const int32_t most = length(700, 545);
  for (const AttentionWindow window : {AttentionWindow{7, 0}, {33, 17}, {290, 4}}) {
    AttentionWorldOptions options = small_world({most, 60, 300});
    options.window = window;
    options.soft_cap = 3.0f;
    AttentionWorld whole(*backend_, options);
    for (int32_t i = 0; i < 3; ++i) whole.finish(i, 1000);
    AttentionWorld batch(*backend_, options);
    batch.step({{0, most - 60}, {1, 39}});
    batch.step({{2, 256}, {0, 1}, {1, 1}});
    batch.step({{2, 1}, {0, 1}, {1, 1}});
    batch.step({{1, 19}, {0, 57}, {2, 43}});
    batch.step({{0, 1}});
    for (int32_t i = 0; i < 3; ++i) EXPECT_TRUE(same_bits(whole.output(i), batch.output(i))) << "sequence " << i << ", window " << window.size;
    for (const int32_t chunk : {1, 16, 100, 257}) {
      if (GetParam().half_products && chunk != 100) continue;
      AttentionWorld chunked(*backend_, options);
      chunked.finish(0, chunk);
      EXPECT_TRUE(same_bits(whole.output(0), chunked.output(0))) << "chunks of " << chunk << ", window " << window.size;
    }
  }
}

TEST_P(AttentionTest, AWindowAsLargeAsTheContextIsNone) {
  AttentionWorldOptions options = small_world({300});
  AttentionWorld full(*backend_, options);
  full.finish(0, 299);
  options.window = {300, 4};
  AttentionWorld windowed(*backend_, options);
  windowed.finish(0, 299);
  EXPECT_TRUE(same_bits(full.output(0), windowed.output(0)));
}

TEST_P(AttentionTest, LayersOfAStepMayDifferInTheirWindows) {
  AttentionWorldOptions options = small_world({length(700, 300), 40});
  options.window = {33, 2};
  AttentionWorld alone(*backend_, options);
  AttentionWorldOptions many = options;
  many.other_windows = {{0, 0}, {7, 0}, {33, 2}, {64, 0}};
  AttentionWorld among_others(*backend_, many);
  for (AttentionWorld* world : {&alone, &among_others}) {
    world->step({{0, options.lengths[0] - 20}, {1, 30}});
    world->step({{0, 1}, {1, 1}});
    world->step({{0, 1}, {1, 9}});
    world->step({{0, 1}});
  }
  EXPECT_TRUE(same_bits(alone.output(0), among_others.output(0)));
  EXPECT_TRUE(same_bits(alone.output(1), among_others.output(1)));
}

TEST_P(AttentionTest, EachLayerGroupHasItsOwnPageTables) {
  std::vector<float> outputs[2];
  for (const int32_t group : {0, 2}) {
    AttentionWorldOptions options = small_world({100, 40});
    options.group = group;
    AttentionWorld world(*backend_, options);
    world.step({{0, 60}, {1, 39}});
    world.step({{0, 40}, {1, 1}});
    outputs[group / 2] = world.output(0);
    outputs[group / 2].insert(outputs[group / 2].end(), world.output(1).begin(), world.output(1).end());
  }
  EXPECT_EQ(outputs[0], outputs[1]);
}

TEST_P(AttentionTest, EveryBackendOfAKindYieldsTheSameBits) {
  if (!GetParam().bit_equal_to_first) GTEST_SKIP() << "other arithmetic by design";
  const std::unique_ptr<Backend> first = backend_cases().front().make();
  for (const int32_t head_dim : {64, 20}) {
    for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ8, KvType::kF16)}) {
      AttentionWorldOptions options;
      options.lengths = {270};
      options.head_dim = head_dim;
      options.format = format;
      if (head_dim == 20) options.window = {100, 4}, options.soft_cap = 2.0f;
      AttentionWorld expected(*first, options);
      expected.finish(0, 270);
      AttentionWorld actual(*backend_, options);
      actual.finish(0, 100);
      EXPECT_TRUE(same_bits(expected.output(0), actual.output(0))) << "head_dim " << head_dim << " " << kv_format_name(format);
    }
  }
}

}  // namespace
}  // namespace terrace
