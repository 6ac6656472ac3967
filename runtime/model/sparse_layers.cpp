#include "runtime/model/sparse_layers.h"

#include <algorithm>

#include "kernels/base/error.h"

namespace terrace {

void set_sparse_reading(const SparseSection& sparse, ModelConfig& model) {
  if (sparse.mode == "off") return;
  if (*std::ranges::min_element(model.windows) > 0) {
    throw Error(ErrorCode::kInvalidValue, "attention.sparse is of no use where all layers have a window (attention.window): set attention.sparse.mode to off");
  }
  model.sparse.mode = sparse.mode == "top" ? SparseReading::Mode::kTop : SparseReading::Mode::kBounded;
  model.sparse.pages = sparse.pages;
  model.sparse.sink_pages = sparse.sink_pages;
  model.sparse.recent_pages = sparse.recent_pages;
  model.sparse.epsilon = static_cast<float>(sparse.epsilon);
  model.first_sparse_layer = sparse.first_layers;
}

}  // namespace terrace
