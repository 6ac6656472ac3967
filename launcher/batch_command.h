// `terrace batch`: a file of requests in, a file of results out, in a way that can be stopped and started again at any moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "launcher/progress.h"

namespace terrace {

struct BatchOptions {
  std::string config;
  std::vector<std::string> sets;
  std::string input;   // JSON lines
  std::string output;  // appended to; what stands in it is done
  bool input_order = false;   // sort the output when all is done
  bool retry_errors = false;  // do failed lines again
  int32_t max_in_flight = 0;  // sequences given to the engine at a time; 0: twice scheduler.max_sequences
  ProgressMode progress = ProgressMode::kAuto;
};

/// The process's exit code: 0 also where lines failed. Throws Error for what is wrong before ranks start.
int run_batch(const BatchOptions& options);

}  // namespace terrace
