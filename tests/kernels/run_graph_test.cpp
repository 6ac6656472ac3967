// run_graph on every backend: steps that replay a record yield the bits of steps that run their ops, whatever has changed since.
#include <gtest/gtest.h>

#include <numeric>
#include <stdexcept>

#include "tests/support/kernels/backend_list.h"
#include "tests/support/kernels/random_matrix.h"

namespace terrace {
namespace {

constexpr int32_t kHeads = 2, kHeadDim = 64, kPageTokens = 16, kVocab = 30, kMaxRows = 32;
constexpr int64_t kHidden = kHeads * kHeadDim;

/// A layer without weights: embedding, norm, rotation, attention, sum. Sequences decode token by token.
class TinyDecoder {
 public:
  TinyDecoder(Backend& backend, int32_t num_sequences) : backend_(backend), positions_(static_cast<size_t>(num_sequences)) {
    table_values_ = random_floats(1, kVocab * kHidden);
    table_ = backend.make_embedding({DType::kF32, kVocab, kHidden, 0, reinterpret_cast<const std::byte*>(table_values_.data()), kHidden * sizeof(float)});
    norm_ = backend.upload(random_floats(2, kHidden));
    pool_.layout = make_page_layout(KvType::kF16, kPageTokens, 1, kHeads, kHeadDim);
    pages_ = backend.allocate(static_cast<size_t>(2 * num_sequences) * pool_.layout.page_stride);
    pool_.base = pages_.data();
    for (int i = 0; i < kHeadDim / 2; ++i) inverse_frequency_.push_back(1.0f / static_cast<float>(1 + i));
  }

  /// The next token of each of `sequences`; [sequences, hidden]. `unused_frames`: more of the page tables, that no token reads.
  std::vector<float> step(const std::vector<int32_t>& sequences, size_t unused_frames = 0) {
    std::vector<int32_t> tokens, positions, kv_page;
    std::vector<AttentionRun> runs;
    std::vector<uint32_t> frames;
    for (const int32_t sequence : sequences) {
      int32_t& position = positions_[static_cast<size_t>(sequence)];
      const auto first_page = static_cast<int32_t>(frames.size());
      runs.push_back({static_cast<int32_t>(tokens.size()), 1, position, first_page});
      for (int32_t page = 0; page <= position / kPageTokens; ++page) frames.push_back(static_cast<uint32_t>(2 * sequence + page));
      kv_page.push_back(first_page + position / kPageTokens);
      tokens.push_back((7 * sequence + 3 * position) % kVocab);
      positions.push_back(position++);
    }
    frames.resize(frames.size() + unused_frames);
    backend_.begin_step({tokens, positions, kv_page, runs, frames});
    const auto num_tokens = static_cast<int64_t>(tokens.size());
    const int64_t rows = backend_.padded_tokens(num_tokens);
    EXPECT_GE(rows, num_tokens);
    backend_.embed(*table_, 1.0f, x_.view().top(rows));
    backend_.run_graph(static_cast<uint64_t>(rows), [&] { run_layer(rows); });
    std::vector<float> out = x_.get(backend_);
    out.resize(static_cast<size_t>(num_tokens * kHidden));
    return out;
  }
  std::vector<std::byte> pages() const {
    std::vector<std::byte> bytes(pages_.bytes());
    backend_.read(pages_.data(), bytes);
    return bytes;
  }

 private:
  void run_layer(int64_t rows) {
    const MatrixView x = x_.view().top(rows), q = q_.view().top(rows), out = out_.view().top(rows);
    backend_.rms_norm(x, reinterpret_cast<const float*>(norm_.data()), 1e-5f, q);
    RopeKvArgs rope;
    rope.q = q;
    rope.k = rope.v = x;
    rope.head_dim = rope.rotary_dim = kHeadDim;
    rope.inverse_frequency = inverse_frequency_;
    rope.kv = &pool_;
    backend_.rope_and_store_kv(rope);
    AttentionArgs attention;
    attention.q = q;
    attention.out = out;
    attention.num_q_heads = attention.num_kv_heads = kHeads;
    attention.kv_head_of_q = kv_head_of_q_;
    attention.head_dim = kHeadDim;
    attention.scale = 0.125f;
    attention.kv = &pool_;
    backend_.attention(attention);
    backend_.add(x, out);
  }

  Backend& backend_;
  std::vector<int32_t> positions_;  // by sequence: its next token's
  std::vector<float> table_values_, inverse_frequency_;
  std::unique_ptr<Weight> table_;
  Buffer norm_, pages_;
  KvPool pool_;
  TestMatrix x_{backend_, kMaxRows, kHidden}, q_{backend_, kMaxRows, kHidden}, out_{backend_, kMaxRows, kHidden};
  std::vector<int32_t> kv_head_of_q_ = {0, 1};
};

class RunGraphTest : public BackendTest {
 protected:
  std::unique_ptr<Backend> without_graphs() const {
    BackendCase plain = GetParam();
    plain.options.graphs = false;
    return plain.make();
  }
};
INSTANTIATE_TEST_SUITE_P(Backends, RunGraphTest, testing::ValuesIn(backend_cases()), backend_case_name);

TEST_P(RunGraphTest, YieldsTheBitsOfTheOpsThatItRecorded) {
  const std::unique_ptr<Backend> plain = without_graphs();
  TinyDecoder recorded(*backend_, 5), expected(*plain, 5);
  const std::vector<std::vector<int32_t>> steps = {{0, 1, 2}, {0, 1, 2}, {2, 0, 1}, {4, 3, 0, 2}, {1, 3, 4}, {0}, {0}, {0}, {2, 1, 0}, {0, 1, 2, 3, 4}, {0, 1, 2}};
  for (int round = 0; round < 3; ++round) {  // beyond a page
    for (const std::vector<int32_t>& step : steps) ASSERT_TRUE(same_bits(recorded.step(step), expected.step(step))) << "round " << round;
  }
  EXPECT_TRUE(recorded.pages() == expected.pages()) << "rows of no token have written into pages";
}

TEST_P(RunGraphTest, GoesOnAfterNewMemoryAndLongerPageTables) {
  const std::unique_ptr<Backend> plain = without_graphs();
  TinyDecoder recorded(*backend_, 3), expected(*plain, 3);
  for (int step = 0; step < 9; ++step) {
    std::vector<TopLogits> top(8);
    const TestMatrix other(*backend_, 8, 100 + 3000 * (step / 3));
    backend_->select_top(other.view(), 3, top);
    const size_t unused_frames = step < 6 ? 0 : 200'000;  // the step's data moves
    ASSERT_TRUE(same_bits(recorded.step({0, 1, 2}, unused_frames), expected.step({0, 1, 2}))) << step;
  }
}

TEST_P(RunGraphTest, ThrowsWhatAnOpThrowsAndGoesOn) {
  const std::unique_ptr<Backend> plain = without_graphs();
  TinyDecoder recorded(*backend_, 3), expected(*plain, 3);
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_THROW(backend_->run_graph(99, [] { throw std::runtime_error("an op"); }), std::runtime_error);
  }
  backend_->run_graph(98, [] {});
  EXPECT_THROW(backend_->run_graph(98, [] { throw std::runtime_error("an op"); }), std::runtime_error) << GetParam().name;
  for (int step = 0; step < 4; ++step) ASSERT_TRUE(same_bits(recorded.step({0, 1, 2}), expected.step({0, 1, 2})));
}

}  // namespace
}  // namespace terrace
