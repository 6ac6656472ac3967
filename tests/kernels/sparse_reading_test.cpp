// Sparse reading against double references: summaries bound what they should, the right pages are read, what is left out is no more than was proven; and
// LAW 4 for what is chosen.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/base/half.h"
#include "tests/support/kernels/attention_world.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"
#include "tests/support/kernels/stored_row.h"

namespace terrace {
namespace {

using Mode = SparseReading::Mode;

class SparseReadingTest : public BackendTest {
 protected:
  /// A device chooses a number of pages that is known beforehand; the simulator takes some thousand times as long.
  static bool is_device() { return GetParam().half_products; }
  static int32_t length(int32_t whole, int32_t simulated) { return is_device() ? simulated : whole; }
  static std::vector<SparseReading> some_readings() {
    std::vector<SparseReading> readings = {{.mode = Mode::kTop, .pages = 6}};
    if (!is_device()) readings.push_back({.mode = Mode::kBounded, .pages = 3, .epsilon = 0.1f});
    return readings;
  }

  static AttentionWorldOptions world_of(SparseReading sparse, int32_t length = 500) {
    AttentionWorldOptions options;
    options.lengths = {length};
    options.head_dim = 24;  // no multiple of a summary's vectors of 16
    options.kv_head_of_q = {0, 0, 0, 0, 1, 1, 2};
    options.sparse = sparse;
    options.alike_keys = true;
    return options;
  }

  /// Prompts of all but the last `last` tokens, which read sparsely.
  static std::vector<float> run(Backend& backend, AttentionWorldOptions options, int32_t last, int32_t chunk) {
    options.sparse_from = options.lengths[0] - last;
    AttentionWorld world(backend, options);
    world.step({{0, options.sparse_from}});
    world.finish(0, chunk);
    return world.output(0);
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, SparseReadingTest, testing::ValuesIn(attention_cases()), backend_case_name);

int64_t columns(const AttentionWorldOptions& options) { return static_cast<int64_t>(options.kv_head_of_q.size()) * options.head_dim; }

/// What SparseReading says, in double.
AttentionWorld::PagesRead pages_of(const AttentionWorld& world, const AttentionWorldOptions& options, int32_t position) {
  const SparseReading& sparse = options.sparse;
  AttentionWorld::PagesRead read;
  const auto num_pages = static_cast<size_t>(position / options.page_tokens + 1);
  const auto first = static_cast<size_t>(sparse.sink_pages), end = num_pages - static_cast<size_t>(sparse.recent_pages);
  for (int32_t kv_head = 0; kv_head < options.num_kv_heads; ++kv_head) {
    std::vector<double> value(num_pages, -1e30);
    for (size_t head = 0; head < options.kv_head_of_q.size(); ++head) {
      if (options.kv_head_of_q[head] != kv_head) continue;
      const std::vector<double> bound = world.page_scores(0, static_cast<int32_t>(head), position).bound;
      const double largest = *std::max_element(bound.begin() + static_cast<int64_t>(first), bound.begin() + static_cast<int64_t>(end));
      for (size_t page = first; page < end; ++page) value[page] = std::max(value[page], bound[page] - largest);
    }
    std::vector<size_t> order(end - first);
    std::iota(order.begin(), order.end(), first);
    std::ranges::stable_sort(order, std::greater<>(), [&](size_t page) { return value[page]; });
    order.resize(static_cast<size_t>(sparse.pages));
    std::vector<bool>& pages = read.emplace_back(num_pages, false);
    for (const size_t page : order) pages[page] = true;
    for (size_t page = 0; page < num_pages; ++page) pages[page] = pages[page] || page < first || page >= end;
  }
  return read;
}

void expect_near(const AttentionWorld& world, const AttentionWorldOptions& options, int32_t position, const AttentionWorld::Expected& expected) {
  for (int64_t i = 0; i < columns(options); ++i) {
    const auto column = static_cast<size_t>(i);
    const double tolerance = 5e-6 + (BackendTest::GetParam().half_products ? expected.half_error[column] : 0.0);
    ASSERT_NEAR(world.output(0)[static_cast<size_t>(position * columns(options) + i)], expected.output[column], tolerance) << "position " << position << " column " << i;
  }
}

TEST_P(SparseReadingTest, SummariesHoldTheKeysBetweenThem) {
  for (const NamedKvFormat& named : kKvFormats) {
    AttentionWorldOptions options = world_of({.mode = Mode::kTop}, 70);
    options.format = named.format;
    options.k_deviation = 300;
    options.alike_keys = false;
    AttentionWorld world(*backend_, options);
    world.step({{0, 20}});
    world.finish(0, length(1, 25));
    const PageLayout& layout = world.kv().layout;
    std::vector<std::byte> memory(layout.page_stride);
    for (size_t page = 0; page < 4; ++page) {
      backend_->read(world.kv().base + world.frames(0)[page] * layout.page_stride, memory);
      const std::byte* bytes = memory.data();
      for (int32_t head = 0; head < options.num_kv_heads; ++head) {
        const auto* summary = reinterpret_cast<const uint16_t*>(bytes + layout.summary_offset(1, head));
        std::vector<std::vector<double>> keys;
        for (int32_t token = 0; token < options.page_tokens; ++token) keys.push_back(stored_row(bytes, layout, layout.k, 1, head, token));
        for (size_t d = 0; d < static_cast<size_t>(options.head_dim); ++d) {
          double most = -1e30, least = 1e30;
          for (const std::vector<double>& key : keys) most = std::max(most, key[d]), least = std::min(least, key[d]);
          const double above = f16_to_float(summary[d]), below = f16_to_float(summary[static_cast<size_t>(layout.summary_dims()) + d]);
          const double step = 0x1p-10, rounding = 0x1p-23;  // of f16; of a quantised key, the product of its code and scale
          EXPECT_GE(above, most - rounding * std::abs(most)) << named.name;
          EXPECT_LE(above, most + step * std::abs(most) + 0x1p-24) << named.name;
          EXPECT_LE(below, least + rounding * std::abs(least)) << named.name;
          EXPECT_GE(below, least - step * std::abs(least) - 0x1p-24) << named.name;
        }
      }
    }
  }
}

TEST_P(SparseReadingTest, ReadsThePagesOfTheLargestBounds) {
  const int32_t begin = length(650, 310), end = length(700, 325);
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kBF16)}) {
    if (is_device() && format != KvFormat(KvType::kF16)) continue;
    AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 7, .sink_pages = 2, .recent_pages = 3}, end);
    options.format = format;
    options.sparse_from = begin;
    AttentionWorld world(*backend_, options);
    world.step({{0, begin}});
    world.finish(0, 1);
    for (const int32_t position : {begin - 1, begin, begin + 5, begin + 6, begin + 10, end - 1}) {
      expect_near(world, options, position, position < begin ? world.expected(0, position) : world.expected(0, position, pages_of(world, options, position)));
    }
    const ReadingStats stats = backend_->take_reading();
    EXPECT_EQ(stats.pages_read, (end - begin) * 3 * 12);
    int64_t seen = 0;
    for (int32_t position = begin; position < end; ++position) seen += 3 * (position / 16 + 1);
    EXPECT_EQ(stats.pages_seen, seen);
    EXPECT_EQ(backend_->take_reading().pages_seen, 0);
  }
}

// More pages, heads of a KV head and dims than a block of a device has at a time.
TEST_P(SparseReadingTest, ChoosesAmongManyPagesByManyHeads) {
  AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 40, .sink_pages = 1, .recent_pages = 2}, 285);
  options.head_dim = 136;
  options.page_tokens = 1;
  options.kv_head_of_q = {0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  options.num_kv_heads = 2;
  options.alike_keys = false;
  options.sparse_from = 282;
  AttentionWorld world(*backend_, options);
  world.step({{0, 282}});
  world.finish(0, 2);
  for (const int32_t position : {282, 283, 284}) expect_near(world, options, position, world.expected(0, position, pages_of(world, options, position)));
}

TEST_P(SparseReadingTest, OfEqualBoundsTheFirstAreRead) {
  AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 20, .sink_pages = 1, .recent_pages = 2}, 60);
  options.page_tokens = 1;
  options.k_deviation = 0;
  options.sparse_from = 58;
  AttentionWorld world(*backend_, options);
  world.step({{0, 58}});
  world.finish(0, 1);
  for (const int32_t position : {58, 59}) expect_near(world, options, position, world.expected(0, position, pages_of(world, options, position)));
}

TEST_P(SparseReadingTest, WithPagesForAllOrNothingToLeaveOutTheBitsAreThoseOfReadingAll) {
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ4)}) {
    if (is_device() && format != KvFormat(KvType::kQ8)) continue;
    const int32_t last = length(40, 10);
    AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = length(27, 5)}, length(500, 150));  // 32 are all, or 10
    options.format = format;
    const std::vector<float> nearly_all = run(*backend_, options, last, 1);
    const ReadingStats stats = backend_->take_reading();
    EXPECT_EQ(stats.pages_read, stats.pages_seen);
    if (!is_device()) {
      options.sparse = {.mode = Mode::kBounded, .pages = 2, .epsilon = 0};
      EXPECT_TRUE(same_bits(run(*backend_, options, last, 1), nearly_all));
      backend_->take_reading();
    }
    options.sparse = {};
    EXPECT_TRUE(same_bits(run(*backend_, options, last, 1), nearly_all));
  }
}

// All candidates are chosen, by bounds or for want of proof: so the tables of chosen pages are the sequence's own.
TEST_P(SparseReadingTest, ChoosingAllPagesGivesTheBitsOfReadingAll) {
  if (is_device()) GTEST_SKIP() << "a device proves nothing";
  AttentionWorldOptions options = world_of({.mode = Mode::kBounded, .pages = 1, .epsilon = 1e-30f});
  const std::vector<float> chosen = run(*backend_, options, 60, 1);
  const ReadingStats stats = backend_->take_reading();
  EXPECT_EQ(stats.pages_read, stats.pages_seen);
  EXPECT_EQ(stats.left_out, 0);
  options.sparse = {};
  EXPECT_TRUE(same_bits(run(*backend_, options, 60, 1), chosen));
}

TEST_P(SparseReadingTest, LeavesOutNoMoreThanItSays) {
  if (is_device()) GTEST_SKIP() << "a device proves nothing";
  for (const float soft_cap : {0.0f, 12.0f}) {
    for (const NamedKvFormat& named : kKvFormats) {
      AttentionWorldOptions options = world_of({.mode = Mode::kBounded, .pages = 4});
      options.format = named.format;
      options.q_deviation = 8;
      options.soft_cap = soft_cap;
      AttentionWorldOptions dense = options;
      dense.sparse = {};
      const std::vector<float> whole = run(*backend_, dense, 20, 1);
      float largest_value = 0;
      for (const float value : whole) largest_value = std::max(largest_value, std::abs(value));
      int64_t read_before = INT64_MAX;
      for (const float epsilon : {0.001f, 0.03f, 0.5f}) {
        SCOPED_TRACE(testing::Message() << named.name << ", epsilon " << epsilon << ", cap " << soft_cap);
        options.sparse.epsilon = epsilon;
        const std::vector<float> sparse = run(*backend_, options, 20, 1);
        const ReadingStats stats = backend_->take_reading();
        EXPECT_LE(stats.left_out, epsilon);
        EXPECT_GT(stats.left_out, 0);
        EXPECT_LT(stats.pages_read, stats.pages_seen);
        EXPECT_LE(stats.pages_read, read_before);
        read_before = stats.pages_read;
        double worst = 0;
        for (size_t i = 0; i < whole.size(); ++i) worst = std::max(worst, static_cast<double>(std::abs(whole[i] - sparse[i])));
        EXPECT_LE(worst, 2.0 * stats.left_out * 4.5 + 1e-5);  // 4.5: no value of the world is larger
      }
    }
  }
}

TEST_P(SparseReadingTest, BitsDependNeitherOnChunksNorOnTheBatchNorOnWhereFramesLie) {
  const int32_t end = length(500, 205), begin = length(350, 190), other = length(300, 60);
  for (const SparseReading& sparse : some_readings()) {
    AttentionWorldOptions options = world_of(sparse, end);
    options.q_deviation = 6;
    const std::vector<float> alone = run(*backend_, options, end - begin, 1);
    for (const int32_t chunk : {7, 64, 150}) {
      if (is_device() && chunk != 7) continue;
      EXPECT_TRUE(same_bits(run(*backend_, options, end - begin, chunk), alone)) << "chunks of " << chunk;
    }
    options.lengths = {end, other, begin + 60};  // and frames lie otherwise
    options.sparse_from = begin;
    AttentionWorld world(*backend_, options);
    world.step({{0, begin}, {1, other - 20}, {2, begin + 20}});  // the last one's end reads sparsely, beside prompts
    world.step({{0, 1}, {1, 20}, {2, 1}});
    for (int i = 0; i < 4; ++i) world.step({{2, 1}, {0, 3}});
    world.finish(0, 1);
    EXPECT_TRUE(same_bits(world.output(0), alone));
  }
}

TEST_P(SparseReadingTest, EveryBackendYieldsTheSameBits) {
  if (!GetParam().bit_equal_to_first) GTEST_SKIP() << "has bits of its own";
  const auto reference = backend_cases().front().make();
  for (const NamedKvFormat& named : kKvFormats) {
    for (const SparseReading& sparse : some_readings()) {
      AttentionWorldOptions options = world_of(sparse, 300);
      options.format = named.format;
      options.q_deviation = 6;
      EXPECT_TRUE(same_bits(run(*reference, options, 30, 1), run(*backend_, options, 30, 1))) << named.name;
      EXPECT_EQ(reference->take_reading().left_out, backend_->take_reading().left_out);
    }
  }
}

// A key beyond f16 has no finite bound: its page is read. Here the largest scores come from such keys.
TEST_P(SparseReadingTest, PagesOfKeysBeyondF16AreRead) {
  if (is_device()) GTEST_SKIP() << "multiplies f16";
  AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 20});
  options.format = KvType::kF32;
  options.k_deviation = 30000;  // one in 30
  options.alike_keys = false;
  options.q_deviation = 0;
  for (const float value : run(*backend_, options, 20, 1)) ASSERT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace terrace
