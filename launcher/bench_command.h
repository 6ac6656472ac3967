// `terrace bench`: how fast this configuration runs on this machine, measured through the real engine, beside what the machine allows.
// stdout carries the report alone.
#pragma once

#include <string>
#include <vector>

#include "launcher/bench/bench_cases.h"
#include "launcher/bench/bench_report.h"
#include "launcher/progress.h"

namespace terrace {

struct BenchOptions {
  std::string config;
  std::vector<std::string> sets;
  BenchCases cases;
  std::vector<int32_t> ranks, threads;  // a sweep over both; empty: as configured
  int repeat = 3;
  BenchFormat format = BenchFormat::kTable;
  ProgressMode progress = ProgressMode::kAuto;
};

/// The process's exit code. Throws Error for what is wrong before ranks start, a sweep under mpirun among it.
int run_bench(const BenchOptions& options);

}  // namespace terrace
