#include "runtime/model/ffn_block.h"

#include <array>

#include "runtime/model/linear_layer.h"

namespace terrace {

void ffn_block(Backend& backend, const LayerWeights& weights, GateActivation activation, const Activations& a, MatrixView out) {
  backend.gated_linear(a.normed, to_output(weights.gate, a.gate), to_output(weights.up, a.up), activation);
  const std::array<LinearOutput, 1> down = {to_output(weights.down, out)};
  backend.linear(a.gate, down);
}

}  // namespace terrace
