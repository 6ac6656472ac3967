// From a layer's weights to arguments of Backend's ops.
#pragma once

#include "kernels/backend.h"
#include "runtime/model/weights.h"

namespace terrace {

inline const float* floats(const Buffer& buffer) { return reinterpret_cast<const float*>(buffer.data()); }

inline LinearOutput to_output(const LinearLayer& layer, MatrixView out) {
  return {layer.weight.get(), out, floats(layer.bias)};
}

}  // namespace terrace
