// The summaries of pages' keys (page_layout.h), which sparse reading chooses pages by. Launched from the backend's step thread.
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/backend.h"
#include "kernels/cuda/rope_kernels.h"

namespace terrace {

/// Behind launch_rope() of the same arguments: a page whose last token is the step's is given the summary of all its keys, as they are stored.
void launch_page_summaries(const RopeKvArgs& args, const RopeStep& step, cudaStream_t stream);

}  // namespace terrace
