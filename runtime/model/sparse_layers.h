// Which layers read sparsely, as the user wants it (attention.sparse).
#pragma once

#include "runtime/config.h"
#include "runtime/model/model_config.h"

namespace terrace {

/// kInvalidValue where no layer sees so much that it could.
void set_sparse_reading(const SparseSection& sparse, ModelConfig& model);

}  // namespace terrace
