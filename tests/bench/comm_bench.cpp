// What one all-reduce costs, by size, beside MPI_Allreduce of the same floats in the same run. Ranks as threads, or as processes:
//   build/bench/terrace_comm_bench 2            mpirun -n 2 build/bench/terrace_comm_bench
#include <fmt/format.h>
#include <mpi.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <vector>

#include "comm/group.h"

namespace terrace {
namespace {

constexpr int kRounds = 21;

double nanoseconds_each(int calls, const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < calls; ++i) call();
  return std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / calls;
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + kRounds / 2, values.end());
  return values[kRounds / 2];
}

struct alignas(64) Flag {
  std::atomic<uint32_t> value = 0;
};

/// The limit: two threads that do nothing but tell each other "I am here".
void measure_flags(RankGroup& group, std::array<Flag, 2>& flags) {
  Flag& own = flags[static_cast<size_t>(group.rank)];
  Flag& other = flags[1 - static_cast<size_t>(group.rank)];
  std::vector<double> times;
  uint32_t now = 0;
  for (int round = 0; round < kRounds; ++round) {
    times.push_back(nanoseconds_each(20000, [&] {
      own.value.store(++now, std::memory_order_release);
      while (static_cast<int32_t>(other.value.load(std::memory_order_acquire) - now) < 0) {
      }
    }));
  }
  if (group.rank == 0) fmt::print("        two flags, nothing else: {:6.0f} ns\n", median(times));
}

/// Medians of rounds in which the contestants take turns: the sum alone, the sum of a part written anew (as a producer does, to memory that the
/// others have just read), and MPI's.
void measure(RankGroup& group, size_t count) {
  const int calls = count <= 4096 ? 20000 : 500;
  std::vector<double> alone, written, mpi;
  std::vector<float> in(count, 1.0f), out(count);
  for (int round = 0; round < kRounds; ++round) {
    alone.push_back(nanoseconds_each(calls, [&] { group.collective->all_reduce(group.collective->buffer(count)); }));
    written.push_back(nanoseconds_each(calls, [&] {
      const std::span<float> part = group.collective->buffer(count);
      std::fill(part.begin(), part.end(), 1.0f);
      group.collective->all_reduce(part);
    }));
    if (!group.mpi) continue;
    mpi.push_back(nanoseconds_each(
        calls, [&] { MPI_Allreduce(in.data(), out.data(), static_cast<int>(count), MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD); }));
  }
  if (group.rank != 0) return;
  fmt::print("{:>8} floats, {} ranks: {:9.0f} ns, part written anew {:9.0f} ns{}\n", count, group.size, median(alone), median(written),
             group.mpi ? fmt::format(", MPI_Allreduce {:9.0f} ns", median(mpi)) : "");
}

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  std::array<terrace::Flag, 2> flags;
  return terrace::run_ranks({.local_ranks = argc > 1 ? std::atoi(argv[1]) : 1}, [&flags](terrace::RankGroup& group) {
    if (group.size == 2 && !group.mpi) terrace::measure_flags(group, flags);
    for (const size_t count : {size_t{576}, size_t{4096}, size_t{32 * 576}, size_t{512 * 576}}) terrace::measure(group, count);
    return 0;
  });
}
