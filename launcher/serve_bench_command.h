// `terrace bench serve URL`: load for a server that speaks OpenAI's API, and what its clients see. No model, no ranks. stdout carries the report alone.
#pragma once

#include <cstdint>
#include <string>

#include "launcher/bench/load_report.h"
#include "launcher/bench/load_source.h"
#include "launcher/http/load_generator.h"
#include "launcher/progress.h"

namespace terrace {

enum class LoadReportFormat { kTable, kJson, kMarkdown };

struct ServeBenchOptions {
  std::string url;
  std::string api_key;
  std::string model;    // empty: the first that the server lists
  std::string dataset;  // files; both empty: synthetic
  std::string trace;
  int32_t trace_page = 512;  // tokens that a hash id of a trace stands for
  double speed = 1;
  SyntheticLengths lengths;
  bool ignore_eos = false;
  std::string extra_body;  // a JSON object, or empty
  LoadPlan plan;
  int32_t timeout_seconds = 600;
  LatencyTarget target;
  LoadReportFormat format = LoadReportFormat::kTable;
  ProgressMode progress = ProgressMode::kAuto;
};

/// "200" or "100-300", tokens. Throws Error(kInvalidValue) that names `flag`.
void parse_length_range(const std::string& text, const std::string& flag, int32_t& from, int32_t& to);

/// The process's exit code: 0 also where requests failed, which the report says. Throws Error for a server that does not answer at all, or wrong input.
int run_serve_bench(const ServeBenchOptions& options);

}  // namespace terrace
