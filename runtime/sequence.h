// One request in flight, as the scheduler on rank 0 knows it.
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/request.h"

namespace terrace {

struct Sequence {
  SequenceId id = 0;
  Request request;
  std::vector<int32_t> tokens;        // the prompt, then the output
  int32_t num_computed = 0;           // positions whose K and V are in pages
  int32_t prompt_logprobs_sent = 0;   // prompt positions reported; recomputation after a preemption does not report them again
  int32_t slot = -1;                  // while running
  std::vector<uint32_t> frames;       // of its pages, in order of position

  int32_t num_tokens() const { return static_cast<int32_t>(tokens.size()); }
  int32_t num_prompt() const { return static_cast<int32_t>(request.prompt.size()); }
  int32_t num_output() const { return num_tokens() - num_prompt(); }
  bool running() const { return slot >= 0; }
};

}  // namespace terrace
