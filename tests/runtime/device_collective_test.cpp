// Sums between ranks whose memory is a device's (or the simulator's, as TERRACE_CUDA_MODULE says; without it skipped): in rank order where LAW 4 asks for it.
#include "comm/device_collective.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <random>

#include "kernels/backend.h"

namespace terrace {
namespace {

constexpr int kRanks = 3;
constexpr int64_t kHidden = 96;
constexpr int64_t kRows = 7;

std::vector<float> part_of_row(int rank, int64_t row) {
  std::mt19937 random(static_cast<unsigned>(1000 * rank + row));
  std::normal_distribution<float> normal;
  std::vector<float> values(kHidden);
  for (float& value : values) value = normal(random);
  return values;
}

/// The sum over ranks of the rows, by the collective.
std::vector<float> sum_of_rows(Backend& backend, Collective& collective, std::span<const int64_t> rows) {
  std::vector<float> part;
  for (const int64_t row : rows) {
    const std::vector<float> values = part_of_row(collective.rank(), row);
    part.insert(part.end(), values.begin(), values.end());
  }
  const std::span<float> buffer = collective.buffer(part.size());
  backend.write(buffer.data(), std::as_bytes(std::span(part)));
  const std::span<float> sum = collective.all_reduce(buffer);
  backend.read(sum.data(), std::as_writable_bytes(std::span(part)));
  collective.check();
  return part;
}

/// Runs `body` on every rank with a backend and a collective of its own.
void on_device_ranks(bool rank_order, const std::function<void(Backend&, Collective&)>& body) {
  GroupOptions options;
  options.local_ranks = kRanks;
  options.spin = false;
  const int code = run_ranks(options, [&](RankGroup& group) {
    BackendOptions backend_options;
    backend_options.device = group.local_rank;
    const std::unique_ptr<Backend> backend = make_backend("cuda", backend_options);
    DeviceLink link;
    link.stream = backend->stream();
    link.buffer_floats = kRows * kHidden;
    link.allocate = [&](size_t bytes) { return backend->allocate(bytes); };
    link.forget_graphs = [] {};
    if (rank_order) {
      link.add = [&](float* sum, const float* part, size_t count) {
        const auto rows = static_cast<int64_t>(count) / kHidden;
        backend->add({sum, rows, kHidden, kHidden}, {const_cast<float*>(part), rows, kHidden, kHidden});
      };
    }
    const std::unique_ptr<Collective> collective = make_device_collective(group, link);
    body(*backend, *collective);
    return 0;
  });
  EXPECT_EQ(code, 0);
}

class DeviceCollectiveTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TERRACE_CUDA_MODULE") == nullptr) GTEST_SKIP() << "no device: TERRACE_CUDA_MODULE names no module";
  }
};

TEST_F(DeviceCollectiveTest, AddsInRankOrderWhateverRowsTheMessageHas) {
  on_device_ranks(true, [](Backend& backend, Collective& collective) {
    for (const std::vector<int64_t>& rows : {std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6}, {5}, {6, 5, 4}}) {
      const std::vector<float> sums = sum_of_rows(backend, collective, rows);
      for (size_t i = 0; i < rows.size(); ++i) {
        const std::vector<float> a = part_of_row(0, rows[i]), b = part_of_row(1, rows[i]), c = part_of_row(2, rows[i]);
        for (size_t j = 0; j < kHidden; ++j) ASSERT_EQ(sums[i * kHidden + j], (a[j] + b[j]) + c[j]) << "row " << rows[i] << ", column " << j;
      }
    }
  });
}

TEST_F(DeviceCollectiveTest, AddsInAnyOrderWhereThatWillDo) {
  on_device_ranks(false, [](Backend& backend, Collective& collective) {
    const std::vector<int64_t> rows = {3, 0};
    const std::vector<float> sums = sum_of_rows(backend, collective, rows);
    for (size_t i = 0; i < sums.size(); ++i) {
      double expected = 0;
      for (int rank = 0; rank < kRanks; ++rank) expected += part_of_row(rank, rows[i / kHidden])[i % kHidden];
      ASSERT_NEAR(sums[i], expected, 1e-6);
    }
  });
}

}  // namespace
}  // namespace terrace
