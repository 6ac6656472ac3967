// From a layer's weights to the argument of Backend::linear().
#pragma once

#include "kernels/backend.h"
#include "runtime/model/weights.h"

namespace terrace {

inline LinearOutput to_output(const LinearLayer& layer, MatrixView out) {
  return {layer.weight.get(), out, reinterpret_cast<const float*>(layer.bias.data())};
}

}  // namespace terrace
