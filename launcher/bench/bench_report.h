// What `terrace bench` found, and how it is shown: a table, JSON or Markdown. Plain data and text; any thread.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/bench/bench_cases.h"
#include "launcher/bench/engine_timer.h"
#include "launcher/bench/machine_bounds.h"
#include "launcher/bench/process_age.h"

namespace terrace {

enum class BenchFormat { kTable, kJson, kMarkdown };

/// "table", "json", "markdown"; nullopt for anything else.
std::optional<BenchFormat> bench_format_from_name(std::string_view name);

struct BenchResult {
  BenchJob job;
  std::vector<JobTiming> timings;  // one a repeat
  std::string skipped;             // why there are none; "": there are, or the run was interrupted
};

/// Of one setup.
struct BenchReport {
  std::string model;      // "Smollm2 135M (llama)"
  std::string kv_format;  // "F16"
  std::string backend;    // of rank 0: "cpu avx2, 2 threads"
  BenchSetup setup;
  std::optional<ProcessAge> loaded;       // age of the job when the model was loaded
  std::optional<ProcessAge> first_token;  // and when it had generated a token
  BenchMachine machine;
  std::vector<BenchResult> results;
  std::string skipped;  // why the whole setup was left out; then nothing but `setup` is there
};

/// A line of figures of one kind of rate, in tok/s.
struct BenchFigure {
  std::string name;
  std::string rate;  // "prompt", "generated", "generated after the prompts"
  std::vector<double> samples;
  double bound = 0;  // 0: unknown
  double median() const;
};

/// One for a prefill or decode job; for a batch the whole job, its prompts, its decoding.
std::vector<BenchFigure> figures_of(const BenchResult& result, const BenchMachine& machine);

/// One setup, or a sweep over several: one table, which then says of which setup a figure is; in JSON {"sweep": [...]} of what one setup gives.
/// All have the same jobs. Ends with a line feed.
std::string format_reports(std::span<const BenchReport> reports, BenchFormat format);

}  // namespace terrace
