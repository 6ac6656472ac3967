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
  void SetUp() override {
    if (GetParam().backend != "cpu") GTEST_SKIP() << "reads all pages";
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
    std::ranges::sort(order, std::greater<>(), [&](size_t page) { return value[page]; });
    order.resize(static_cast<size_t>(sparse.pages));
    std::vector<bool>& pages = read.emplace_back(num_pages, false);
    for (const size_t page : order) pages[page] = true;
    for (size_t page = 0; page < num_pages; ++page) pages[page] = pages[page] || page < first || page >= end;
  }
  return read;
}

TEST_P(SparseReadingTest, SummariesHoldTheKeysBetweenThem) {
  for (const NamedKvFormat& named : kKvFormats) {
    AttentionWorldOptions options = world_of({.mode = Mode::kTop}, 70);
    options.format = named.format;
    options.k_deviation = 300;
    options.alike_keys = false;
    AttentionWorld world(*backend_, options);
    world.step({{0, 20}});
    world.finish(0, 1);
    const PageLayout& layout = world.kv().layout;
    for (size_t page = 0; page < 4; ++page) {
      const std::byte* bytes = world.kv().base + world.frames(0)[page] * layout.page_stride;
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
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kBF16)}) {
    AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 7, .sink_pages = 2, .recent_pages = 3}, 700);
    options.format = format;
    options.sparse_from = 650;
    AttentionWorld world(*backend_, options);
    world.step({{0, 650}});
    world.finish(0, 1);
    const int64_t cols = columns(options);
    for (const int32_t position : {649, 650, 655, 656, 699}) {
      const AttentionWorld::Expected expected = position < 650 ? world.expected(0, position) : world.expected(0, position, pages_of(world, options, position));
      for (int64_t i = 0; i < cols; ++i) {
        ASSERT_NEAR(world.output(0)[static_cast<size_t>(position * cols + i)], expected.output[static_cast<size_t>(i)], 5e-6) << "position " << position << " column " << i;
      }
    }
    const ReadingStats stats = backend_->take_reading();
    EXPECT_EQ(stats.pages_read, 50 * 3 * 12);
    EXPECT_EQ(stats.pages_seen, 3 * (6 * 41 + 16 * 42 + 16 * 43 + 12 * 44));
    EXPECT_EQ(backend_->take_reading().pages_seen, 0);
  }
}

TEST_P(SparseReadingTest, WithPagesForAllOrNothingToLeaveOutTheBitsAreThoseOfReadingAll) {
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ4)}) {
    AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 27});  // 32 are all
    options.format = format;
    const std::vector<float> nearly_all = run(*backend_, options, 40, 1);
    const ReadingStats stats = backend_->take_reading();
    EXPECT_EQ(stats.pages_read, stats.pages_seen);
    options.sparse = {.mode = Mode::kBounded, .pages = 2, .epsilon = 0};
    EXPECT_TRUE(same_bits(run(*backend_, options, 40, 1), nearly_all));
    backend_->take_reading();
    options.sparse = {};
    EXPECT_TRUE(same_bits(run(*backend_, options, 40, 1), nearly_all));
  }
}

// All candidates are chosen, by bounds or for want of proof: so the tables of chosen pages are the sequence's own.
TEST_P(SparseReadingTest, ChoosingAllPagesGivesTheBitsOfReadingAll) {
  AttentionWorldOptions options = world_of({.mode = Mode::kBounded, .pages = 1, .epsilon = 1e-30f});
  const std::vector<float> chosen = run(*backend_, options, 60, 1);
  const ReadingStats stats = backend_->take_reading();
  EXPECT_EQ(stats.pages_read, stats.pages_seen);
  EXPECT_EQ(stats.left_out, 0);
  options.sparse = {};
  EXPECT_TRUE(same_bits(run(*backend_, options, 60, 1), chosen));
}

TEST_P(SparseReadingTest, LeavesOutNoMoreThanItSays) {
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
  for (const SparseReading sparse : {SparseReading{.mode = Mode::kTop, .pages = 6}, SparseReading{.mode = Mode::kBounded, .pages = 3, .epsilon = 0.1f}}) {
    AttentionWorldOptions options = world_of(sparse);
    options.q_deviation = 6;
    const std::vector<float> alone = run(*backend_, options, 150, 1);
    for (const int32_t chunk : {7, 64, 150}) EXPECT_TRUE(same_bits(run(*backend_, options, 150, chunk), alone)) << "chunks of " << chunk;
    options.lengths = {500, 300, 410};  // and frames lie otherwise
    options.sparse_from = 350;
    AttentionWorld world(*backend_, options);
    world.step({{0, 350}, {1, 200}, {2, 370}});  // the last one's end reads sparsely, beside prompts
    world.step({{0, 1}, {1, 100}, {2, 1}});
    while (world.output(2).size() < static_cast<size_t>(410 * columns(options))) world.step({{2, 1}, {0, 3}});
    world.finish(0, 1);
    EXPECT_TRUE(same_bits(world.output(0), alone));
  }
}

TEST_P(SparseReadingTest, EveryBackendYieldsTheSameBits) {
  const auto reference = backend_cases().front().make();
  for (const NamedKvFormat& named : kKvFormats) {
    for (const SparseReading sparse : {SparseReading{.mode = Mode::kTop, .pages = 6}, SparseReading{.mode = Mode::kBounded, .pages = 3, .epsilon = 0.1f}}) {
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
  AttentionWorldOptions options = world_of({.mode = Mode::kTop, .pages = 20});
  options.format = KvType::kF32;
  options.k_deviation = 30000;  // one in 30
  options.alike_keys = false;
  options.q_deviation = 0;
  for (const float value : run(*backend_, options, 20, 1)) ASSERT_TRUE(std::isfinite(value));
}

}  // namespace
}  // namespace terrace
