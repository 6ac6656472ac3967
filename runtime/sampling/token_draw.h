// The token after one row of a step: what is needed to draw it, and what was drawn. draw() of different rows may run on different threads.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "runtime/sampling/sampler.h"

namespace terrace {

struct TokenDraw {
  std::vector<PositionReport*> parts;  // every rank's view of the position; draw() moves the logits out of them
  const Request* request = nullptr;
  std::span<const int32_t> tokens;     // prompt and output so far
  const TokenMask* mask = nullptr;     // of a constrained request
  std::optional<SampledToken> sampled = std::nullopt;  // none where no token can follow under the mask

  void draw() {
    if (mask != nullptr && !can_go_on(*mask, *request, tokens)) return;
    sampled = sample_token(join_positions(parts), *request, tokens, mask);
  }
};

}  // namespace terrace
