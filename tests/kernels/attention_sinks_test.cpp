// Endless streams: queries of their own for the sinks, in attention and where they are made.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "tests/support/kernels/attention_world.h"
#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

class AttentionSinksTest : public BackendTest {
 protected:
  static AttentionWorldOptions world(AttentionWindow window, int32_t page_tokens, int32_t length) {
    AttentionWorldOptions options;
    options.lengths = {length};
    options.head_dim = 16;
    options.page_tokens = page_tokens;
    options.window = window;
    options.sink_queries = true;
    if (GetParam().half_products) {  // the simulator takes some thousand times as long
      options.kv_head_of_q = {0, 0, 0, 1};
      options.num_kv_heads = 2;
    }
    return options;
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, AttentionSinksTest, testing::ValuesIn(attention_cases()), backend_case_name);

// Sinks that end within a page, a block of columns and a piece; windows that begin in the sinks' piece and later.
TEST_P(AttentionSinksTest, MatchTheReferenceWithQueriesOfTheirOwn) {
  const int32_t last = GetParam().half_products ? 560 : 720;
  for (const AttentionWindow window : {AttentionWindow{7, 4}, {33, 17}, {100, 1}, {300, 270}, {520, 16}, {2000, 3}}) {
    for (const int32_t page_tokens : {1, 16, 64}) {
      if (GetParam().half_products && page_tokens != (window.size % 2 == 0 ? 16 : 64)) continue;
      AttentionWorldOptions options = world(window, page_tokens, last + 1);
      options.format = page_tokens == 64 ? KvType::kF32 : KvType::kF16;
      AttentionWorld world(*backend_, options);
      world.step({{0, last - 30}});
      for (const int32_t chunk : {1, 20, 9, 1}) world.step({{0, chunk}});
      for (const int32_t position : {0, 3, 4, 6, 32, 255, 256, 300, 511, 512, 600, last - 30, last - 2, last}) {
        if (position > last) continue;
        const AttentionWorld::Expected expected = world.expected(0, position);
        for (size_t i = 0; i < expected.output.size(); ++i) {
          ASSERT_NEAR(world.output(0)[static_cast<size_t>(position) * expected.output.size() + i], expected.output[i],
                      5e-6 + (GetParam().half_products ? expected.half_error[i] : 0))
              << "window " << window.size << ", " << window.sinks << " sinks, pages of " << page_tokens << ", position " << position << " column " << i;
        }
      }
    }
  }
}

TEST_P(AttentionSinksTest, BitsDoNotDependOnChunking) {
  const int32_t length = GetParam().half_products ? 400 : 600;
  for (const AttentionWindow window : {AttentionWindow{7, 4}, {33, 17}, {290, 4}, {100, 270}}) {
    const AttentionWorldOptions options = world(window, 16, length);
    AttentionWorld whole(*backend_, options);
    whole.finish(0, length);
    for (const int32_t chunk : {1, 3, 16, 100, 257}) {
      if (GetParam().half_products && chunk < 16) continue;
      AttentionWorld chunked(*backend_, options);
      chunked.finish(0, chunk);
      EXPECT_TRUE(same_bits(whole.output(0), chunked.output(0))) << "chunks of " << chunk << ", window " << window.size << ", " << window.sinks << " sinks";
    }
  }
}

/// One head of 64 dims at each of some positions.
struct Turned {
  std::vector<float> q, q_sinks;

  Turned(Backend& backend, const std::vector<int32_t>& positions, KvFormat format, AttentionWindow window, bool exact_angles = true) {
    const auto n = static_cast<int64_t>(positions.size());
    std::vector<float> inverse_frequency;
    for (int i = 0; i < 32; ++i) inverse_frequency.push_back(static_cast<float>(std::pow(100000.0, -i / 32.0)));
    TestMatrix q_matrix(backend, n, 64), k(backend, n, 64), v(backend, n, 64), q_sinks_matrix(backend, n, 64, 8);
    q_matrix.set(random_floats(1, n * 64));
    const PageLayout layout = make_page_layout(format, 16, 1, 1, 64);
    const Buffer memory = backend.allocate(positions.size() * layout.page_stride);  // a page each: some positions are the same
    const KvPool kv{memory.data(), layout};
    std::vector<int32_t> pages(positions.size());
    std::iota(pages.begin(), pages.end(), 0);
    const std::vector<uint32_t> frames(pages.begin(), pages.end());
    backend.begin_step({positions, positions, pages, {}, frames});
    RopeKvArgs args;
    args.q = q_matrix.view();
    args.k = k.view();
    args.v = v.view();
    args.head_dim = args.rotary_dim = 64;
    args.inverse_frequency = inverse_frequency;
    args.kv = &kv;
    args.q_sinks = q_sinks_matrix.view();
    args.window = window;
    args.exact_angles = exact_angles;
    backend.rope_and_store_kv(args);
    q = q_matrix.get(backend);
    q_sinks = q_sinks_matrix.get(backend);
  }
};

TEST_P(AttentionSinksTest, QueriesStandToThemAsIfThereWereNoGap) {
  for (const KvFormat format : {KvFormat(KvType::kF16), KvFormat(KvType::kQ8), KvFormat(KvType::kQ4)}) {
    const AttentionWindow window = {100, 4};
    const Turned far(*backend_, {0, 50, 103, 104, 105, 99999, 16777215}, format, window);
    const Turned near(*backend_, {0, 50, 103, 103, 103, 103, 103}, format, window);
    EXPECT_TRUE(same_bits(far.q_sinks, near.q));
    EXPECT_FALSE(same_bits(far.q, near.q));
  }
}

TEST_P(AttentionSinksTest, AnglesStayExactFarBeyondTheContext) {
  const std::vector<int32_t> positions = {1000, 99999, 1234567, 16777215};
  const Turned turned(*backend_, positions, KvType::kF16, {100, 4});
  const std::vector<float> head = random_floats(1, static_cast<int64_t>(positions.size()) * 64);
  for (size_t token = 0; token < positions.size(); ++token) {
    for (size_t i = 0; i < 32; ++i) {
      const double angle = positions[token] * static_cast<double>(static_cast<float>(std::pow(100000.0, -static_cast<double>(i) / 32)));
      const double expected = head[token * 64 + 2 * i] * std::cos(angle) - head[token * 64 + 2 * i + 1] * std::sin(angle);
      ASSERT_NEAR(turned.q[token * 64 + 2 * i], expected, 1e-6) << "position " << positions[token] << ", pair " << i;
    }
  }
}

}  // namespace
}  // namespace terrace
