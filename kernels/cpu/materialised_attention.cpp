#include "kernels/cpu/materialised_attention.h"

#include "kernels/base/error.h"
#include "kernels/base/thread_pool.h"

namespace terrace {

void run_materialised(ThreadPool& pool, bool isa_has_avx2, const MaterialisedHead& head) {
  if (head.num_tokens % kMaterialisedRows != 0 || head.head_dim % kMaterialisedDims != 0) {
    throw Error(ErrorCode::kInternal, "materialised attention takes tokens in multiples of 8 and heads in multiples of 16");
  }
  const MaterialisedKernels& kernels = isa_has_avx2 ? kAvx2Materialised : kScalarMaterialised;
  for (const auto pass : {kernels.multiply_keys, kernels.softmax, kernels.multiply_values}) {
    pool.parallel_for(head.num_tokens / kMaterialisedRows, 4, [&](int64_t begin, int64_t end) {
      pass(head, begin * kMaterialisedRows, end * kMaterialisedRows);
    });
  }
}

}  // namespace terrace
