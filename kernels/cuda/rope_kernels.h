// Rotation of q and k by the tokens' positions, and the write of k and v into the tokens' pages. Launched from the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"

namespace terrace {

inline constexpr int kMaxRotaryDim = 512;

/// Where the step's data lies: slots of StepArrays.
struct RopeStep {
  const int32_t* const* positions = nullptr;
  const uint32_t* const* frame_of_token = nullptr;  // StepArrays::kNoFrame: k and v of this token go nowhere
};

/// Rotates args.q in place; k is rotated on its way into the pages. rotary_dim <= kMaxRotaryDim, head_dim of keys that are turned <= kMostTurnedDims (hadamard_kernels.h).
void launch_rope(const RopeKvArgs& args, const RopeStep& step, cudaStream_t stream);

}  // namespace terrace
