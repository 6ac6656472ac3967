// Sums between ranks whose memory is a device's (or the simulator's, as TERRACE_CUDA_MODULE says; without it skipped): in rank order where LAW 4 asks for it, and in one shot. Ranks are
// threads, or under mpirun processes (then one test at a time: tests/e2e/cudasim_test.sh).
#include "comm/device_collective.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdlib>
#include <random>

#include "comm/one_shot_collective.h"
#include "kernels/backend.h"

namespace terrace {
namespace {

constexpr int64_t kHidden = 96;
constexpr int64_t kRows = 7;

std::vector<float> part_of(int rank, int64_t number, size_t count) {
  std::mt19937 random(static_cast<unsigned>(1000 * rank + number));
  std::normal_distribution<float> normal;
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  if (number % 3 == 0) values.front() = -0.0f;  // which a sum that begins from 0 would lose
  return values;
}

std::vector<float> part_of_row(int rank, int64_t row) { return part_of(rank, row, kHidden); }

/// In rank order, from the first part on.
std::vector<float> sum_of_parts(int ranks, int64_t number, size_t count) {
  std::vector<float> sum = part_of(0, number, count);
  for (int rank = 1; rank < ranks; ++rank) {
    const std::vector<float> part = part_of(rank, number, count);
    for (size_t i = 0; i < count; ++i) sum[i] += part[i];
  }
  return sum;
}

void expect_bits(std::span<const float> found, std::span<const float> wanted, const std::string& what) {
  ASSERT_EQ(found.size(), wanted.size()) << what;
  for (size_t i = 0; i < wanted.size(); ++i) ASSERT_EQ(std::bit_cast<uint32_t>(found[i]), std::bit_cast<uint32_t>(wanted[i])) << what << ", number " << i << ": " << found[i] << " for " << wanted[i];
}

void write(Backend& backend, float* memory, const std::vector<float>& values) { backend.write(memory, std::as_bytes(std::span(values))); }

std::vector<float> read(Backend& backend, const float* memory, size_t count) {
  std::vector<float> values(count);
  backend.read(memory, std::as_writable_bytes(std::span(values)));
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
  write(backend, buffer.data(), part);
  const std::span<float> sum = collective.all_reduce(buffer);
  part = read(backend, sum.data(), part.size());
  collective.check();
  return part;
}

struct DeviceRanks {
  int ranks = 3;
  bool rank_order = false;
  size_t buffer_floats = kRows * kHidden;
};

/// Runs `body` on every rank with a backend and a collective of its own.
void on_device_ranks(const DeviceRanks& how, const std::function<void(Backend&, Collective&)>& body) {
  GroupOptions options;
  options.local_ranks = how.ranks;
  options.spin = false;
  const int code = run_ranks(options, [&](RankGroup& group) {
    BackendOptions backend_options;
    backend_options.device = group.local_rank;
    const std::unique_ptr<Backend> backend = make_backend("cuda", backend_options);
    DeviceLink link;
    link.stream = backend->stream();
    link.buffer_floats = how.buffer_floats;
    link.allocate = [&](size_t bytes) { return backend->allocate(bytes); };
    link.forget_graphs = [&] { backend->forget_graphs(); };
    if (how.rank_order) {
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

/// Whether small sums go through shared memory, which the simulator can be told to have none of; only then are they in rank order in any case.
bool devices_reach_each_other() {
  const char* peers = std::getenv("CUDASIM_PEERS");
  return peers == nullptr || std::string(peers) != "0";
}

class DeviceCollectiveTest : public testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("TERRACE_CUDA_MODULE") == nullptr) GTEST_SKIP() << "no device: TERRACE_CUDA_MODULE names no module";
  }
};

TEST_F(DeviceCollectiveTest, AddsInRankOrderWhateverRowsTheMessageHas) {
  on_device_ranks({.rank_order = true}, [](Backend& backend, Collective& collective) {
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
  on_device_ranks({}, [](Backend& backend, Collective& collective) {
    const std::vector<int64_t> rows = {3, 0};
    const std::vector<float> sums = sum_of_rows(backend, collective, rows);
    for (size_t i = 0; i < sums.size(); ++i) {
      double expected = 0;
      for (int rank = 0; rank < collective.size(); ++rank) expected += part_of_row(rank, rows[i / kHidden])[i % kHidden];
      ASSERT_NEAR(sums[i], expected, 1e-6);
    }
  });
}

// Queued one behind another without a wait: a rank that is ahead may already write the next call's parts. Lengths of one share and of more than all blocks take at a time, odd ones, and
// parts that are not aligned for 16 bytes.
TEST_F(DeviceCollectiveTest, SumsInOneShotAreTheRankOrdersBitsOnEveryRankCallAfterCall) {
  if (!devices_reach_each_other()) GTEST_SKIP() << "CUDASIM_PEERS=0";
  const std::vector<size_t> counts = {1, 3, 96, 1023, 1025, 4, 40003, 5000, 1024, 2, 2051, 33000, 7, 1500};
  constexpr size_t kRoom = 40004;
  for (const int ranks : {1, 2, 3, 4}) {
    on_device_ranks({.ranks = ranks, .buffer_floats = kRoom}, [&](Backend& backend, Collective& collective) {
      const Buffer memory = backend.allocate(counts.size() * kRoom * sizeof(float));
      const auto part = [&](size_t call) { return reinterpret_cast<float*>(memory.data()) + call * kRoom + call % 3; };
      for (int round = 0; round < 2; ++round) {
        const auto number = [&](size_t call) { return static_cast<int64_t>(round * 100 + static_cast<int>(call)); };
        for (size_t call = 0; call < counts.size(); ++call) write(backend, part(call), part_of(collective.rank(), number(call), counts[call]));
        for (size_t call = 0; call < counts.size(); ++call) ASSERT_EQ(collective.all_reduce({part(call), counts[call]}).data(), part(call));
        for (size_t call = 0; call < counts.size(); ++call) {
          expect_bits(read(backend, part(call), counts[call]), sum_of_parts(collective.size(), number(call), counts[call]), "rank " + std::to_string(collective.rank()) + ", call " + std::to_string(call));
        }
        collective.check();
      }
    });
    if (started_by_mpi()) return;  // as many ranks as mpirun has started, once
  }
}

// A graph of three sums, replayed between plain ones: nothing of a call's number, or of which slot it takes, may stand in the graph.
TEST_F(DeviceCollectiveTest, RecordedSumsAndPlainOnesFollowEachOtherInAnyNumber) {
  if (!devices_reach_each_other()) GTEST_SKIP() << "CUDASIM_PEERS=0";
  for (const int ranks : {2, 3}) {
    on_device_ranks({.ranks = ranks, .buffer_floats = 3000}, [&](Backend& backend, Collective& collective) {
      const Buffer memory = backend.allocate(3 * 3000 * sizeof(float));
      const auto part = [&](int i) { return reinterpret_cast<float*>(memory.data()) + i * 3000; };
      const std::vector<size_t> counts = {2500, 96, 1031};
      int64_t number = 0;
      for (const int plain : {0, 1, 0, 2, 1, 0, 0}) {
        for (int i = 0; i <= plain; ++i) {
          for (int k = 0; k < 3; ++k) write(backend, part(k), part_of(collective.rank(), number + k, counts[static_cast<size_t>(k)]));
          const auto sums = [&] {
            for (int k = 0; k < 3; ++k) collective.all_reduce({part(k), counts[static_cast<size_t>(k)]});
          };
          if (i == plain) backend.run_graph(1, sums);
          else collective.all_reduce({part(0), counts[0]});
          const int checked = i == plain ? 3 : 1;
          for (int k = 0; k < checked; ++k) {
            expect_bits(read(backend, part(k), counts[static_cast<size_t>(k)]), sum_of_parts(ranks, number + k, counts[static_cast<size_t>(k)]), "sum " + std::to_string(number + k));
          }
          number += 3;
        }
      }
    });
  }
}

struct NormShape {
  int64_t rows, cols;
  int64_t shift = 0;  // floats that all begin after an aligned address, and their rows lie apart beyond their length
};
// One row and more than there are blocks, rows of a thread's four columns and of more than a block takes at a time, odd ones, rows that are not aligned.
constexpr NormShape kNormShapes[] = {{1, 96}, {3, 4, 4}, {2, 1}, {5, 1027}, {1, 3000, 1}, {40, 100}, {33, 7, 3}, {7, 2052, 1}};

/// A rank's data for the sum of a shape and the norm behind it, twice over: with the norm in the sum's kernel, and by the backend's op.
class NormedSums {
 public:
  NormedSums(Backend& backend, const NormShape& shape) : backend_(backend), shape_(shape), memory_(backend.allocate((7 * room() + 8) * sizeof(float))) {}

  void write_inputs(int rank, int64_t number) {
    number_ = number;
    const std::vector<float> part = part_of(rank, number, count());
    for (const bool fused : {true, false}) {
      write(backend_, part_of_sum(fused).data(), part);
      write(backend_, view(fused ? 2 : 3).data, part_of(0, number + 5000, room()));  // the same residual on all ranks
    }
    write(backend_, at(6), part_of(0, 3 * number + 7001, static_cast<size_t>(shape_.cols)));
  }
  void run_fused(Collective& collective) const {
    collective.all_reduce_then_norm(part_of_sum(true), {view(2), at(6), kEps, view(4)}, [](std::span<float>) { ADD_FAILURE() << "the norm is not part of the sum"; });
  }
  void expect_bits_of_the_plain_ops(Collective& collective) const {
    collective.all_reduce(part_of_sum(false));
    backend_.add_rms_norm(view(3), {at(1), shape_.rows, shape_.cols, shape_.cols}, at(6), kEps, view(5));
    const std::string what = "rank " + std::to_string(collective.rank()) + ", number " + std::to_string(number_) + ", " + std::to_string(shape_.rows) + " x " + std::to_string(shape_.cols);
    expect_bits(read(backend_, view(2).data, room()), read(backend_, view(3).data, room()), what + ", residual");
    expect_bits(read(backend_, view(4).data, room()), read(backend_, view(5).data, room()), what + ", normed");
    ASSERT_NE(read(backend_, view(4).data, 1).front(), 0.0f) << what;
  }

 private:
  static constexpr float kEps = 1e-5f;

  size_t count() const { return static_cast<size_t>(shape_.rows * shape_.cols); }
  size_t room() const { return static_cast<size_t>(shape_.rows * stride() + 3) / 4 * 4; }
  int64_t stride() const { return shape_.cols + shape_.shift; }
  float* at(size_t which) const { return reinterpret_cast<float*>(memory_.data()) + which * room() + shape_.shift; }  // 0, 1: parts; 2, 3: residuals; 4, 5: outputs; 6: weight
  MatrixView view(size_t which) const { return {at(which), shape_.rows, shape_.cols, stride()}; }
  std::span<float> part_of_sum(bool fused) const { return {at(fused ? 0 : 1), count()}; }

  Backend& backend_;
  const NormShape shape_;
  Buffer memory_;
  int64_t number_ = 0;
};

TEST_F(DeviceCollectiveTest, TheNormInASumsKernelGivesTheBitsOfTheOpsOneByOne) {
  if (!devices_reach_each_other()) GTEST_SKIP() << "CUDASIM_PEERS=0";
  for (const int ranks : {2, 3, 4}) {
    on_device_ranks({.ranks = ranks, .buffer_floats = 40000}, [&](Backend& backend, Collective& collective) {
      std::vector<NormedSums> sums;
      for (const NormShape& shape : kNormShapes) sums.emplace_back(backend, shape);
      for (int64_t round = 0; round < 2; ++round) {
        for (size_t i = 0; i < sums.size(); ++i) sums[i].write_inputs(collective.rank(), round * 100 + static_cast<int64_t>(i));
        for (const NormedSums& sum : sums) sum.run_fused(collective);
        for (const NormedSums& sum : sums) sum.expect_bits_of_the_plain_ops(collective);
      }
      collective.check();
    });
    if (started_by_mpi()) return;
  }
}

TEST_F(DeviceCollectiveTest, RecordedSumsWithNormsFollowPlainOnes) {
  if (!devices_reach_each_other()) GTEST_SKIP() << "CUDASIM_PEERS=0";
  on_device_ranks({.ranks = 2, .buffer_floats = 40000}, [&](Backend& backend, Collective& collective) {
    NormedSums first(backend, kNormShapes[5]), second(backend, kNormShapes[3]);
    for (int64_t number = 0; number < 5; ++number) {
      first.write_inputs(collective.rank(), 2 * number);
      second.write_inputs(collective.rank(), 2 * number + 1);
      backend.run_graph(1, [&] {
        first.run_fused(collective);
        second.run_fused(collective);
      });
      first.expect_bits_of_the_plain_ops(collective);
      if (number % 2 == 0) second.expect_bits_of_the_plain_ops(collective);
    }
  });
}

// Also those between ranks whose devices do not reach each other's memory.
TEST_F(DeviceCollectiveTest, ANormBehindASumThatIsNotInOneShotIsTheBackendsOwn) {
  const auto rows = static_cast<int64_t>(one_shot_limit(2) / sizeof(float) / kHidden + 1);
  on_device_ranks({.ranks = 2, .buffer_floats = static_cast<size_t>(rows * kHidden)}, [&](Backend& backend, Collective& collective) {
    const std::span<float> part = collective.buffer(static_cast<size_t>(rows * kHidden));
    write(backend, part.data(), std::vector<float>(part.size()));
    size_t applied = 0;
    collective.all_reduce_then_norm(part, {{nullptr, rows, kHidden, kHidden}, nullptr, 0, {}}, [&](std::span<float> sum) { applied += sum.size(); });
    EXPECT_EQ(applied, part.size());
  });
}

TEST_F(DeviceCollectiveTest, SumsBeyondTheLimitAreRightBetweenThoseInOneShot) {
  const size_t limit = one_shot_limit(2) / sizeof(float);
  on_device_ranks({.ranks = 2, .buffer_floats = limit + 1}, [&](Backend& backend, Collective& collective) {
    for (const size_t count : {size_t{100}, limit + 1, limit, size_t{33}}) {
      const std::vector<float> part = part_of(collective.rank(), static_cast<int64_t>(count), count);
      const std::span<float> buffer = collective.buffer(count);
      write(backend, buffer.data(), part);
      const std::span<float> sum = collective.all_reduce(buffer);
      expect_bits(read(backend, sum.data(), count), sum_of_parts(2, static_cast<int64_t>(count), count), std::to_string(count));  // two parts have one order
    }
  });
}

}  // namespace
}  // namespace terrace
