// `terrace bench techniques`: what the techniques that terrace is made of are worth on this machine, beside what is usually claimed for them.
// One rank, in this process. stdout carries the report alone; a plot goes to a file.
#pragma once

#include <string>
#include <vector>

#include "launcher/bench/bench_report.h"
#include "launcher/progress.h"

namespace terrace {

struct TechniquesOptions {
  std::string config;
  std::vector<std::string> sets;
  std::vector<std::string> only;  // of technique_names(); empty: all
  std::string plot;      // an SVG file; "": none
  bool quick = false;    // small numbers: a look at the form, no result
  bool markdown = false;
  ProgressMode progress = ProgressMode::kAuto;
};

/// "cache", "batching", "paging", "flash", "heads".
const std::vector<std::string>& technique_names();

/// The process's exit code. Throws Error for what is wrong before ranks start.
int run_techniques(const TechniquesOptions& options);

}  // namespace terrace
