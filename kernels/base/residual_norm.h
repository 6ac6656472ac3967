// What a decoder does with a sum between ranks, for those that can do it in the sum's own kernel (comm's Collective, PeerSum).
#pragma once

#include "kernels/base/tensor.h"

namespace terrace {

/// residual += sum, then out = rms_norm(residual), bit for bit as Backend::add_rms_norm. All in the backend's memory.
struct ResidualNorm {
  MatrixView residual;            // [rows, cols]
  const float* weight = nullptr;  // [cols]
  float eps = 0;
  MatrixView out;                 // like residual; neither it nor the sum
};

}  // namespace terrace
