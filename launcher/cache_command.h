// `terrace bench cache`: how many of a recorded series of prompts' pages each retention policy would have found in a
// tier of so many pages, beside the most that any policy can find. No model, no ranks. stdout carries the report alone.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/progress.h"

namespace terrace {

enum class CacheReportFormat { kTable, kJson, kMarkdown };

struct CacheOptions {
  std::string trace;
  std::vector<int32_t> pages = {500, 1000, 2000, 5000, 10000, 20000};
  std::vector<std::string> policies;  // of retention_policy_names(); empty: all
  CacheReportFormat format = CacheReportFormat::kTable;
  ProgressMode progress = ProgressMode::kAuto;
};

/// The process's exit code. Throws Error for a trace that cannot be read.
int run_cache_simulation(const CacheOptions& options);

}  // namespace terrace
