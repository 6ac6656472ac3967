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
