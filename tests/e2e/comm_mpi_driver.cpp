// What tests/e2e/comm_mpi.sh starts under mpirun (and without): one mode per property of comm/mpi.
//   comm_mpi_driver MODE [pretend_hosts]
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "comm/group.h"
#include "kernels/base/error.h"
#include "tests/support/comm/rank_checks.h"

namespace terrace {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// What an engine does in a step, as far as the other ranks can tell.
void run_step(RankGroup& group, uint64_t step) {
  Bytes plan(100);
  group.control->set_step(step);
  group.control->broadcast(plan);
  check_sums_in_a_row(group, 4);
  group.control->gather(plan);
}

int check(RankGroup& group) {
  check_messages(group);
  check_sums(group);
  check_sums_in_a_row(group, 500);
  if (group.rank == 0) fmt::print("checked {} ranks mpi={}\n", group.size, group.mpi);
  return 0;
}

/// The last rank dies in step 5, by its own hand.
int die(RankGroup& group) {
  for (uint64_t step = 0;; ++step) {
    group.control->set_step(step);
    if (step == 5 && group.rank == group.size - 1) std::raise(SIGKILL);
    run_step(group, step);
  }
}

/// Aborts from the last rank while the others sit in all kinds of waits.
int abort_while_waiting(RankGroup& group) {
  run_step(group, 1);
  if (group.rank == group.size - 1) group.control->abort(ErrorCode::kIoError, "the disk is full");
  wait_for_others(group, kWaitKinds[group.rank % 4]);
  return 0;
}

/// Aborts while the others compute and will not call again for long.
int abort_while_busy(RankGroup& group) {
  run_step(group, 1);
  if (group.rank == 0) group.control->abort(ErrorCode::kIoError, "the disk is full");
  std::this_thread::sleep_for(std::chrono::minutes(1));
  return 0;
}

int same_error(RankGroup&) { throw Error(ErrorCode::kInvalidValue, "model.path does not exist"); }

int other_code(RankGroup& group) { return group.rank == group.size - 1 ? 3 : 0; }

/// Ranks finish at different times: nobody's leaving is taken for a death.
int leave_apart(RankGroup& group) {
  run_step(group, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(200 * group.rank));
  return 0;
}

/// Rank 0 keeps the others waiting for 3 s and reports what that costs them.
int idle(RankGroup& group) {
  group.control->barrier();
  const auto cpu_seconds = [] {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) + 1e-6 * static_cast<double>(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
  };
  const double before = cpu_seconds();
  if (group.rank == 0) std::this_thread::sleep_for(std::chrono::seconds(3));
  Bytes message;
  group.control->broadcast(message);
  const double share = (cpu_seconds() - before) / 3;
  const auto* bytes = reinterpret_cast<const std::byte*>(&share);
  for (const Bytes& answer : group.control->gather({bytes, sizeof(share)})) fmt::print("idle cpu {:.4f} of a core\n", *reinterpret_cast<const double*>(answer.data()));
  return 0;
}

/// Rank 0 hands out a plan and then calls nothing of MPI's for 2 s, as where it waits for a device.
int large_plan(RankGroup& group) {
  group.control->barrier();
  const Clock::time_point start = Clock::now();
  Bytes plan(size_t{1} << 20);
  group.control->broadcast(plan);
  if (group.rank == 0) std::this_thread::sleep_for(std::chrono::seconds(2));
  else if (seconds_since(start) < 1) fmt::print("the plan came at once\n");
  group.control->barrier();
  return 0;
}

/// Best and mean time of `action` on rank 0, in us.
void time_it(RankGroup& group, const std::string& name, int rounds, const std::function<void()>& action) {
  for (int i = 0; i < rounds / 10 + 1; ++i) action();
  double best = 1e9;
  const Clock::time_point start = Clock::now();
  for (int i = 0; i < rounds; ++i) {
    const Clock::time_point begin = Clock::now();
    action();
    best = std::min(best, seconds_since(begin));
  }
  if (group.rank == 0) fmt::print("{}: best {:.2f} us, mean {:.2f} us\n", name, best * 1e6, seconds_since(start) / rounds * 1e6);
}

int bench(RankGroup& group) {
  for (const size_t count : {size_t{576}, size_t{4'096}, size_t{8'192}, size_t{512 * 576}, size_t{512 * 4096}}) {
    const std::span<float> buffer = group.collective->buffer(count);
    for (float& value : buffer) value = 0;
    const int rounds = count < 10'000 ? 20'000 : 300;
    time_it(group, fmt::format("all_reduce {} floats", count), rounds, [&] { group.collective->all_reduce(buffer); });
  }
  Bytes message(4096);
  time_it(group, "broadcast + gather 4 KB", 5'000, [&] {
    group.control->broadcast(message);
    group.control->gather(message);
  });
  // A rank that waits for longer than it spins is asleep: this is what it takes to wake it and to hear from it.
  double worst = 0, sum = 0;
  for (int i = 0; i < 100; ++i) {
    if (group.rank == 0) std::this_thread::sleep_for(std::chrono::milliseconds(5));
    const Clock::time_point begin = Clock::now();
    group.control->broadcast(message);
    group.control->gather(message);
    worst = std::max(worst, seconds_since(begin));
    sum += seconds_since(begin);
  }
  if (group.rank == 0) fmt::print("broadcast + gather to sleepers: mean {:.0f} us, worst {:.0f} us\n", sum / 100 * 1e6, worst * 1e6);
  return 0;
}

struct Mode {
  const char* name;
  int (*body)(RankGroup&);
};
constexpr Mode kModes[] = {{"check", check}, {"die", die}, {"abort", abort_while_waiting}, {"abort_busy", abort_while_busy}, {"same_error", same_error},
                           {"other_code", other_code}, {"leave_apart", leave_apart}, {"idle", idle}, {"large_plan", large_plan}, {"bench", bench}};

}  // namespace
}  // namespace terrace

int main(int argc, char** argv) {
  const std::string name = argc > 1 ? argv[1] : "";
  terrace::GroupOptions options;
  options.pretend_hosts = argc > 2 ? std::atoi(argv[2]) : 0;
  if (const char* ranks = std::getenv("DRIVER_LOCAL_RANKS")) options.local_ranks = std::atoi(ranks);
  for (const terrace::Mode& mode : terrace::kModes) {
    if (name == mode.name) return terrace::run_ranks(options, mode.body);
  }
  fmt::print(stderr, "unknown mode '{}'\n", name);
  return 2;
}
