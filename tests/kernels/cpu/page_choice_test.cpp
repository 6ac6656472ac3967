// What is chosen, page by page, against masses in double.
#include "kernels/cpu/page_choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "kernels/cpu/attention.h"
#include "tests/support/kernels/attention_world.h"

namespace terrace {
namespace {

using Mode = SparseReading::Mode;

/// The choice of a world's last token.
struct Chosen {
  AttentionWorld::PagesRead pages;  // by KV head
  std::vector<std::vector<float>> bounds;  // by query head, of all full pages
  ReadingStats stats;
};

class ChoosingWorld {
 public:
  explicit ChoosingWorld(AttentionWorldOptions options)
      : options_(with_hook(std::move(options))), backend_(make_backend("cpu", {})), world_(*backend_, options_) {
    world_.step({{0, options_.lengths[0] - 1}});
    world_.step({{0, 1}});
  }

  int32_t position() const { return options_.lengths[0] - 1; }
  const AttentionWorldOptions& options() const { return options_; }
  const AttentionWorld& world() const { return world_; }
  const Chosen& chosen() const { return chosen_; }
  double largest_share_left_out() const {
    double share = 0;
    for (size_t head = 0; head < options_.kv_head_of_q.size(); ++head) {
      const std::vector<double> masses = world_.page_scores(0, static_cast<int32_t>(head), position()).mass;
      const std::vector<bool>& read = chosen_.pages[static_cast<size_t>(options_.kv_head_of_q[head])];
      double left_out = 0;
      for (size_t page = 0; page < masses.size(); ++page) left_out += read[page] ? 0 : masses[page];
      share = std::max(share, left_out / std::accumulate(masses.begin(), masses.end(), 0.0));
    }
    return share;
  }

 private:
  AttentionWorldOptions with_hook(AttentionWorldOptions options) {
    options.sparse_from = options.lengths[0] - 1;
    options.before_attention = [this](const AttentionArgs& args, const StepBatch& batch) { look(args, batch); };
    return options;
  }

  void look(const AttentionArgs& args, const StepBatch& batch) {
    if (batch.tokens.size() > 1) return;
    QueryHeads heads;
    heads.set(args);
    ASSERT_TRUE(choice_.choose(args, batch, heads));
    chosen_.stats = choice_.take_stats();
    for (size_t head = 0; head < args.kv_head_of_q.size(); ++head) chosen_.bounds.push_back(bounds_of(args, batch, static_cast<int32_t>(head)));
    const int32_t page_tokens = args.kv->layout.page_tokens;
    std::map<uint32_t, size_t> page_of;
    for (const uint32_t frame : batch.frames) page_of.emplace(frame, page_of.size());
    for (const AttentionRun& run : choice_.runs().runs()) {
      std::vector<bool>& read = chosen_.pages.emplace_back(batch.frames.size(), false);
      size_t before = 0;
      for (int32_t i = 0; i <= run.first_position / page_tokens; ++i) {
        const size_t page = page_of.at(choice_.frames()[run.first_page + i]);
        EXPECT_TRUE(i == 0 || page > before);
        read[before = page] = true;
      }
    }
  }

  static std::vector<float> bounds_of(const AttentionArgs& args, const StepBatch& batch, int32_t head) {
    const PageLayout& layout = args.kv->layout;
    const auto dims = static_cast<size_t>(layout.summary_dims());
    std::vector<float> halves(2 * dims), bounds(batch.frames.size() - 1);
    for (size_t d = 0; d < static_cast<size_t>(args.head_dim); ++d) {
      const float q = args.q.row(0)[static_cast<size_t>(head * args.head_dim) + d] * args.scale;
      halves[q > 0 ? d : dims + d] = q;
    }
    PageBounds of;
    of.halves = halves.data();
    of.num_heads = 1;
    of.dims = layout.summary_dims();
    of.pool = args.kv->base + layout.summary_offset(args.place.layer, args.kv_head_of_q[static_cast<size_t>(head)]);
    of.frames = batch.frames.data();
    of.page_stride = layout.page_stride;
    of.num_pages = static_cast<int32_t>(bounds.size());
    of.slack = static_cast<float>(args.head_dim) * 0x1p-24f;
    of.out = bounds.data();
    attention_kernels(Isa::kScalar).bounds(of);
    return bounds;
  }

  ThreadPool pool_{1};
  PageChoice choice_{pool_, attention_kernels(Isa::kScalar)};
  Chosen chosen_;
  AttentionWorldOptions options_;
  std::unique_ptr<Backend> backend_;
  AttentionWorld world_;
};

AttentionWorldOptions options_of(SparseReading sparse, uint64_t seed, KvFormat format) {
  AttentionWorldOptions options;
  options.lengths = {650};
  options.head_dim = 24;
  options.kv_head_of_q = {0, 0, 0, 0, 1, 1, 2};
  options.format = format;
  options.seed = seed;
  options.q_deviation = 5;
  options.alike_keys = true;
  options.sparse = sparse;
  return options;
}

TEST(PageChoiceTest, WhatIsLeftOutHoldsNoMoreOfAnySoftmaxThanTheBound) {
  double tightest = 0;
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ4)}) {
    for (const float epsilon : {0.003f, 0.1f, 1.0f}) {
      for (uint64_t seed = 1; seed <= 5; ++seed) {
        const ChoosingWorld world(options_of({.mode = Mode::kBounded, .pages = 3, .epsilon = epsilon}, seed, format));
        const ReadingStats& stats = world.chosen().stats;
        EXPECT_LT(stats.pages_read, stats.pages_seen);
        EXPECT_LE(stats.left_out, epsilon / (1 + epsilon) * 1.0001);
        const double share = world.largest_share_left_out();
        EXPECT_LE(share, stats.left_out * (1 + 1e-5)) << kv_format_name(format) << ", epsilon " << epsilon << ", seed " << seed;
        tightest = std::max(tightest, share / stats.left_out);
      }
    }
  }
  EXPECT_GT(tightest, 0.01);  // it is a bound of this, not of something far away
}

TEST(PageChoiceTest, ThePagesThatAreReadAlwaysAreRead) {
  for (const SparseReading sparse : {SparseReading{.mode = Mode::kTop, .pages = 5, .sink_pages = 3, .recent_pages = 2},
                                     SparseReading{.mode = Mode::kBounded, .pages = 1, .sink_pages = 0, .recent_pages = 1, .epsilon = 0.9f}}) {
    const ChoosingWorld world(options_of(sparse, 7, KvType::kF16));
    for (const std::vector<bool>& read : world.chosen().pages) {
      EXPECT_TRUE(std::all_of(read.begin(), read.begin() + sparse.sink_pages, [](bool yes) { return yes; }));
      EXPECT_TRUE(std::all_of(read.end() - sparse.recent_pages, read.end(), [](bool yes) { return yes; }));
      if (sparse.mode == Mode::kTop) { EXPECT_EQ(std::ranges::count(read, true), 10); }
    }
  }
}

TEST(PageChoiceTest, NoScoreOfAPageIsAboveItsBound) {
  for (uint64_t seed = 1; seed <= 3; ++seed) {
    AttentionWorldOptions options = options_of({.mode = Mode::kTop, .pages = 5}, seed, KvType::kF16);
    options.alike_keys = seed % 2 == 0;
    const ChoosingWorld world(options);
    for (int32_t head = 0; head < 7; ++head) {
      const AttentionWorld::PageScores scores = world.world().page_scores(0, head, world.position());
      const std::vector<float>& bounds = world.chosen().bounds[static_cast<size_t>(head)];
      for (size_t page = 0; page < bounds.size(); ++page) {
        EXPECT_GE(bounds[page], scores.largest[page]);
        EXPECT_NEAR(bounds[page], scores.bound[page], 1e-3);
      }
    }
  }
}

}  // namespace
}  // namespace terrace
