// `terrace run`: one prompt, its answer streamed to stdout as it comes, and a line feed where it ends without.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "launcher/progress.h"

namespace terrace {

struct RunOptions {
  std::string config;
  std::vector<std::string> sets;
  std::optional<std::string> prompt;  // else all of stdin
  std::string system;                 // of the chat; "": none
  bool raw = false;                   // the prompt is the model's input as it is: no chat template
  int32_t max_tokens = 512;
  double temperature = 0;  // 0: greedy
  std::optional<double> top_p;
  std::optional<int32_t> top_k;
  std::optional<double> min_p;
  std::optional<uint64_t> seed;
  std::vector<std::string> stop;
  bool ignore_eos = false;
  ProgressMode progress = ProgressMode::kAuto;
  bool explain = false;  // print the configuration and the memory plan instead
};

/// The process's exit code. Throws Error for what is wrong before ranks start.
int run(const RunOptions& options);

}  // namespace terrace
