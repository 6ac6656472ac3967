#include "launcher/bench_command.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "comm/group.h"
#include "kernels/backend.h"
#include "kernels/base/cpu_count.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "launcher/bench/engine_timer.h"
#include "launcher/config_file.h"
#include "launcher/session_options.h"
#include "launcher/signals.h"
#include "launcher/stdio.h"
#include "runtime/session.h"

namespace terrace {
namespace {

constexpr BenchJob kWarmUp = {BenchKind::kBatch, 1, 128, 8, 0};

/// What each rank adds to the machine's sums; sent as it lies.
struct RankLimits {
  double memory_rate, set_rate, int8_multiply_adds, fp32_multiply_adds;
  uint64_t memory_bytes, set_bytes, weight_bytes, kv_bytes_per_token;
};

/// All ranks measure at the same time, since they share the machine. Rank 0 gets the sums, the others nothing of meaning.
BenchMachine measure_machine(RankGroup& group, Session& session) {
  group.control->barrier();
  BenchMachine machine;
  machine.limits = session.backend().measure_limits(session.memory().weights);
  machine.work = model_work(session.model());
  const MachineLimits own = machine.limits;
  const RankLimits limits = {own.memory_rate,  own.set_rate,  own.int8_multiply_adds,   own.fp32_multiply_adds,
                             own.memory_bytes, own.set_bytes, session.memory().weights, session.memory().kv_bytes_per_token};
  const std::vector<Bytes> ranks = group.control->gather(std::as_bytes(std::span(&limits, 1)));
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    RankLimits other = {};
    std::memcpy(&other, ranks[rank].data(), std::min(sizeof other, ranks[rank].size()));
    machine.weight_bytes += other.weight_bytes;
    machine.kv_bytes_per_token += other.kv_bytes_per_token;
    if (rank == 0) continue;
    machine.limits.memory_rate += other.memory_rate;
    machine.limits.set_rate += other.set_rate;
    machine.limits.int8_multiply_adds += other.int8_multiply_adds;
    machine.limits.fp32_multiply_adds += other.fp32_multiply_adds;
    machine.limits.memory_bytes += other.memory_bytes;
    machine.limits.set_bytes += other.set_bytes;
  }
  return machine;
}

/// True on every rank when rank 0 says so.
bool agree(RankGroup& group, bool yes) {
  Bytes answer = {std::byte{static_cast<unsigned char>(yes ? 1 : 0)}};
  group.control->broadcast(answer);
  return answer.at(0) != std::byte{0};
}

/// The machine was at least as fast as either time it was looked at.
void keep_faster(MachineLimits& limits, const MachineLimits& later) {
  limits.memory_rate = std::max(limits.memory_rate, later.memory_rate);
  limits.set_rate = std::max(limits.set_rate, later.set_rate);
  limits.int8_multiply_adds = std::max(limits.int8_multiply_adds, later.int8_multiply_adds);
  limits.fp32_multiply_adds = std::max(limits.fp32_multiply_adds, later.fp32_multiply_adds);
}

/// Repeats go round all jobs, so that a slow moment of the machine does not fall on one of them alone.
void measure_jobs(EngineTimer& timer, const BenchRoom& room, int repeat, Progress& progress, std::vector<BenchResult>& results) {
  for (BenchResult& result : results) result.skipped = why_skipped(result.job, room);
  const auto num_steps = static_cast<double>(results.size()) * repeat;
  double step = 0;
  if (why_skipped(kWarmUp, room).empty() && !timer.run(kWarmUp)) return;
  for (int round = 0; round < repeat; ++round) {
    for (BenchResult& result : results) {
      progress.update(step++ / num_steps, fmt::format("round {} of {}: {}", round + 1, repeat, job_name(result.job)));
      if (!result.skipped.empty()) continue;
      std::optional<JobTiming> timing = timer.run(result.job);
      if (!timing) return;
      result.timings.push_back(*timing);
    }
  }
}

BenchReport start_report(const Session& session, const Config& config, const RankGroup& group, const BenchCases& cases) {
  BenchReport report;
  report.model = model_title(session.model());
  report.kv_format = kv_format_name(config.cache.format);
  report.setup = {.ranks = group.size, .threads = config.parallel.threads};
  for (const BenchJob& job : bench_jobs(cases)) report.results.push_back({.job = job, .timings = {}, .skipped = {}});
  return report;
}

/// Adds what was measured to `reports`; writes them all where it was interrupted.
int bench_rank_zero(Session& session, const Config& config, RankGroup& group, const BenchOptions& options, const SignalWatch& signals,
                    Progress& progress, std::vector<BenchReport>& reports) {
  BenchReport report = start_report(session, config, group, options.cases);
  report.backend = session.backend().describe();
  if (reports.empty()) report.loaded = job_age();  // later setups are loaded long after the process's start
  EngineTimer timer(session.engine(), session.model().vocab_size, [&] { return signals.received() != 0; });
  if (timer.run(BenchJob{}) && report.loaded) report.first_token = job_age();
  session.engine().stop();
  // A user who interrupts waits for nothing more.
  if (agree(group, signals.received() == 0)) report.machine = measure_machine(group, session);
  measure_jobs(timer, room_of(session, config), options.repeat, progress, report.results);
  session.engine().stop();
  if (agree(group, signals.received() == 0)) keep_faster(report.machine.limits, measure_machine(group, session).limits);
  progress.clear();
  if (signals.received() != 0) log_warning("interrupted: the report holds what was measured until then");
  reports.push_back(std::move(report));
  // At once: leaving MPI then takes two seconds, since mpirun only waits, and after as many it kills (scripts/mpi_env.sh).
  if (signals.received() != 0) write_stdout(format_reports(std::exchange(reports, {}), options.format));
  return signals.exit_code();
}

int bench_setup(const Config& config, const BenchOptions& options, const SignalWatch& signals, std::vector<BenchReport>& reports) {
  return run_ranks(group_options(config), [&](RankGroup& group) {
    Progress progress(options.progress);
    Session session(config, group, session_options(options.progress, group.rank, progress));
    progress.clear();
    if (group.rank == 0) return bench_rank_zero(session, config, group, options, signals, progress, reports);
    session.follow();  // as rank 0 does: the first token, then the jobs
    if (agree(group, false)) measure_machine(group, session);
    session.follow();
    if (agree(group, false)) measure_machine(group, session);
    return 0;
  });
}

}  // namespace

int run_bench(const BenchOptions& options) {
  if (started_by_mpi() && !(options.ranks.empty() && options.threads.empty())) {
    throw Error(ErrorCode::kInvalidValue, "--ranks and --threads start ranks as threads of one process, once for each setup: start terrace bench without "
                                          "mpirun, or set parallel.threads");
  }
  Config config = load_config(options.config, options.sets).config;
  const SignalWatch signals;
  const std::vector<BenchSetup> setups = bench_setups(options.ranks, options.threads, {config.parallel.ranks, config.parallel.threads});
  std::vector<BenchReport> reports;
  int code = 0;
  for (const BenchSetup& setup : setups) {
    config.parallel.ranks = setup.ranks;
    config.parallel.threads = setup.threads;
    std::string skipped = setups.size() > 1 ? why_skipped(setup, usable_cores()) : "";
    if (skipped.empty()) {
      code = bench_setup(config, options, signals, reports);
    } else {
      reports.emplace_back().setup = setup;
      reports.back().skipped = std::move(skipped);
    }
    if (code != 0) break;
  }
  if (!reports.empty()) write_stdout(format_reports(reports, options.format));
  return code;
}

}  // namespace terrace
