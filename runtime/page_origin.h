// The name of all that the bytes of a page depend on beside its tokens: pages of two runs are the same only where it is equal. Pure.
#pragma once

#include <string>

#include "kernels/page_layout.h"
#include "runtime/config.h"
#include "runtime/model/gguf.h"
#include "runtime/model/model_config.h"

namespace terrace {

struct PageOriginInputs {
  const GgufFile* file = nullptr;   // null: `geometry` and the architecture say all
  const GeometryConfig* geometry = nullptr;
  const ModelConfig* model = nullptr;
  PageLayout layout;
  KvFormat stored;                  // of the same pages off the device: fetched ones are not what was computed where it is smaller
  int num_ranks = 1;
  int ranks_per_host = 1;           // sums are joined by host
  std::string arithmetic;           // Backend::arithmetic()
};

/// Equal on all ranks but for what uneven shards make of the layout.
std::string page_origin(const PageOriginInputs& inputs);

}  // namespace terrace
