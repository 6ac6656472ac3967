#include "launcher/bench/bench_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "launcher/bench/text_table.h"
#include "launcher/version.h"

namespace terrace {
namespace {

namespace json = boost::json;

double mib(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

std::string bytes_rate(double rate) { return fmt::format("{:.1f} GB/s", rate / 1e9); }

std::string share(double value, double bound) { return bound > 0 ? fmt::format("{:.0f} %", 100 * value / bound) : "?"; }

std::vector<double> rates(const std::vector<JobTiming>& timings, int64_t JobTiming::* tokens, double (*seconds)(const JobTiming&)) {
  std::vector<double> values;
  for (const JobTiming& timing : timings) values.push_back(static_cast<double>(timing.*tokens) / std::max(seconds(timing), 1e-9));
  return values;
}

double prompt_seconds(const JobTiming& timing) { return timing.prompt_seconds; }
double all_seconds(const JobTiming& timing) { return timing.seconds; }
double decode_seconds(const JobTiming& timing) { return timing.seconds - timing.prompt_seconds; }

/// "the weights' 92 MiB", or "512 MiB of the weights' 1200": what limits.set_rate is of.
std::string read_set(const BenchMachine& machine) {
  if (machine.limits.set_bytes >= machine.weight_bytes) return fmt::format("the weights' {:.0f} MiB", mib(machine.weight_bytes));
  return fmt::format("{:.0f} MiB of the weights' {:.0f}", mib(machine.limits.set_bytes), mib(machine.weight_bytes));
}

std::vector<std::string> heading(const BenchReport& report) {
  const MachineLimits& limits = report.machine.limits;
  std::vector<std::string> lines;
  lines.push_back(fmt::format("{}; {} rank{} of {}; KV {}; weights {:.1f} MiB, KV {:.1f} KiB per token", report.model, report.setup.ranks,
                              report.setup.ranks == 1 ? "" : "s", report.backend, report.kv_format, mib(report.machine.weight_bytes),
                              static_cast<double>(report.machine.kv_bytes_per_token) / 1024));
  if (report.loaded) {
    lines.push_back(fmt::format("from {} start: {:.2f} s to the model loaded{}", report.loaded->mpirun ? "mpirun's" : "the process's",
                                report.loaded->seconds,
                                report.first_token ? fmt::format(", {:.2f} s to the first token", report.first_token->seconds) : ""));
  }
  if (limits.instructions.empty()) return lines;
  lines.push_back(fmt::format("this machine, all threads: reads {} from memory ({:.0f} MiB), {} over {}; {} {} and "
                              "{} {} multiply-adds/s ({})",
                              bytes_rate(limits.memory_rate), mib(limits.memory_bytes), bytes_rate(limits.set_rate), read_set(report.machine),
                              with_prefix(limits.int8_multiply_adds), limits.linear_type, with_prefix(limits.fp32_multiply_adds),
                              limits.attention_type, limits.instructions));
  return lines;
}

/// Setups side by side, job for job.
TextTable figure_table(std::span<const BenchReport> reports) {
  const bool sweep = reports.size() > 1;
  std::vector<std::string> header = {"measured", "tok/s", "min", "max", "bound", "of it"};
  if (sweep) header.insert(header.begin() + 1, "ranks x threads");
  TextTable table(header, sweep ? 2 : 1);
  size_t num_jobs = 0;
  for (const BenchReport& report : reports) num_jobs = std::max(num_jobs, report.results.size());
  for (size_t job = 0; job < num_jobs; ++job) {
    for (const BenchReport& report : reports) {
      if (!report.skipped.empty()) continue;
      for (const BenchFigure& figure : figures_of(report.results.at(job), report.machine)) {
        const auto [min, max] = std::ranges::minmax(figure.samples);
        std::vector<std::string> cells = {figure.name, short_number(figure.median()), short_number(min), short_number(max),
                                          figure.bound > 0 ? short_number(figure.bound) : "?", share(figure.median(), figure.bound)};
        if (sweep) cells.insert(cells.begin() + 1, setup_name(report.setup));
        table.add(std::move(cells));
      }
    }
  }
  return table;
}

std::vector<std::string> headings(std::span<const BenchReport> reports) {
  std::vector<std::string> lines;
  for (const BenchReport& report : reports) {
    if (!report.skipped.empty()) continue;
    for (std::string& line : heading(report)) lines.push_back(std::move(line));
  }
  return lines;
}

std::vector<std::string> skipped_lines(std::span<const BenchReport> reports) {
  std::vector<std::string> lines;
  for (const BenchReport& report : reports) {
    if (!report.skipped.empty()) lines.push_back(fmt::format("{}: left out, {}", setup_name(report.setup), report.skipped));
    for (const BenchResult& result : report.results) {
      const std::string of = reports.size() > 1 ? fmt::format(", {}", setup_name(report.setup)) : "";
      if (!result.skipped.empty()) lines.push_back(fmt::format("{}{}: left out, {}", job_name(result.job), of, result.skipped));
    }
  }
  return lines;
}

std::string to_table(std::span<const BenchReport> reports) {
  std::string text;
  for (const std::string& line : headings(reports)) text += fmt::format("{}\n", line);
  text += fmt::format("\n{}", figure_table(reports).plain());
  for (const std::string& line : skipped_lines(reports)) text += fmt::format("{}\n", line);
  return text;
}

std::string to_markdown(std::span<const BenchReport> reports) {
  std::string text;
  for (const std::string& line : headings(reports)) text += fmt::format("- {}\n", line);
  text += fmt::format("\n{}", figure_table(reports).markdown());
  const std::vector<std::string> skipped = skipped_lines(reports);
  if (!skipped.empty()) text += "\n";
  for (const std::string& line : skipped) text += fmt::format("- {}\n", line);
  return text;
}

json::object machine_json(const BenchMachine& machine) {
  const MachineLimits& limits = machine.limits;
  return {{"memory_bytes", limits.memory_bytes},
          {"memory_bytes_per_s", limits.memory_rate},
          {"set_bytes", limits.set_bytes},
          {"set_bytes_per_s", limits.set_rate},
          {"int8_multiply_adds_per_s", limits.int8_multiply_adds},
          {"fp32_multiply_adds_per_s", limits.fp32_multiply_adds},
          {"types", limits.linear_type + " and " + limits.attention_type},
          {"instructions", limits.instructions}};
}

json::object result_json(const BenchResult& result, const BenchMachine& machine) {
  static constexpr const char* kKinds[] = {"prefill", "decode", "batch"};
  const BenchJob& job = result.job;
  json::object object = {{"kind", kKinds[static_cast<int>(job.kind)]}, {"name", job_name(job)}, {"sequences", job.sequences},
                         {"prompt", job.prompt},                       {"generated", job.generated}, {"depth", job.depth}};
  if (!result.skipped.empty()) object["skipped"] = result.skipped;
  json::array figures;
  for (const BenchFigure& figure : figures_of(result, machine)) {
    const auto [min, max] = std::ranges::minmax(figure.samples);
    json::object line = {{"rate", figure.rate}, {"median", figure.median()}, {"min", min}, {"max", max}, {"samples", json::value_from(figure.samples)}};
    if (figure.bound > 0) {
      line["bound"] = figure.bound;
      line["of_bound"] = figure.median() / figure.bound;
    }
    figures.push_back(std::move(line));
  }
  object["tokens_per_s"] = std::move(figures);
  return object;
}

json::object report_json(const BenchReport& report) {
  json::object object = {{"terrace", version_text()}, {"ranks", report.setup.ranks}};
  if (report.setup.threads > 0) object["threads"] = report.setup.threads;
  if (!report.skipped.empty()) {
    object["skipped"] = report.skipped;
    return object;
  }
  object["model"] = report.model;
  object["backend"] = report.backend;
  object["kv_format"] = report.kv_format;
  object["weight_bytes"] = report.machine.weight_bytes;
  object["kv_bytes_per_token"] = report.machine.kv_bytes_per_token;
  if (report.loaded) {
    json::object load = {{"since", report.loaded->mpirun ? "mpirun" : "process"}, {"loaded_s", report.loaded->seconds}};
    if (report.first_token) load["first_token_s"] = report.first_token->seconds;
    object["load"] = std::move(load);
  }
  if (!report.machine.limits.instructions.empty()) object["machine"] = machine_json(report.machine);
  json::array results;
  for (const BenchResult& result : report.results) results.push_back(result_json(result, report.machine));
  object["results"] = std::move(results);
  return object;
}

std::string to_json(std::span<const BenchReport> reports) {
  if (reports.size() == 1) return json::serialize(report_json(reports[0])) + "\n";
  json::array sweep;
  for (const BenchReport& report : reports) sweep.push_back(report_json(report));
  return json::serialize(json::object{{"sweep", std::move(sweep)}}) + "\n";
}

}  // namespace

std::optional<BenchFormat> bench_format_from_name(std::string_view name) {
  if (name == "table") return BenchFormat::kTable;
  if (name == "json") return BenchFormat::kJson;
  if (name == "markdown") return BenchFormat::kMarkdown;
  return std::nullopt;
}

double BenchFigure::median() const {
  std::vector<double> sorted = samples;
  std::ranges::sort(sorted);
  const size_t middle = sorted.size() / 2;
  return sorted.size() % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

std::vector<BenchFigure> figures_of(const BenchResult& result, const BenchMachine& machine) {
  const BenchJob& job = result.job;
  const std::string name = job_name(job);
  std::vector<BenchFigure> figures;
  if (result.timings.empty()) return figures;
  if (job.kind == BenchKind::kBatch) {
    figures.push_back({name + ", generated", "generated", rates(result.timings, &JobTiming::generated_tokens, all_seconds),
                       batch_bound(machine, job.prompt, job.generated, job.sequences)});
  }
  if (job.kind != BenchKind::kDecode) {
    figures.push_back({job.kind == BenchKind::kBatch ? "  its prompts" : name, "prompt",
                       rates(result.timings, &JobTiming::prompt_tokens, prompt_seconds), prefill_bound(machine, job.prompt, job.sequences)});
  }
  if (job.kind != BenchKind::kPrefill && job.generated > 1) {
    const int32_t depth = job.kind == BenchKind::kBatch ? job.prompt : job.depth;
    figures.push_back({job.kind == BenchKind::kBatch ? "  after the prompts" : name, "generated after the prompts",
                       rates(result.timings, &JobTiming::tokens_after_prompts, decode_seconds),
                       decode_bound(machine, depth, job.generated - 1, job.sequences)});
  }
  return figures;
}

std::string format_reports(std::span<const BenchReport> reports, BenchFormat format) {
  switch (format) {
    case BenchFormat::kTable: return to_table(reports);
    case BenchFormat::kJson: return to_json(reports);
    case BenchFormat::kMarkdown: return to_markdown(reports);
  }
  return "";
}

}  // namespace terrace
