#include "kernels/cpu/materialised_attention.h"

#include "kernels/base/error.h"
#include "kernels/base/thread_pool.h"
#include "kernels/cpu/isa.h"

namespace terrace {

const MaterialisedKernels& materialised_kernels(Isa isa) {
  if (isa >= Isa::kAvx512) return kAvx512Materialised;
  return isa >= Isa::kAvx2 ? kAvx2Materialised : kScalarMaterialised;
}

void run_materialised(ThreadPool& pool, const MaterialisedKernels& kernels, bool plainly, const MaterialisedHead& head) {
  if (head.num_tokens % kMaterialisedRows != 0 || head.head_dim % kMaterialisedDims != 0) {
    throw Error(ErrorCode::kInternal, "materialised attention takes tokens in multiples of 16 and heads in multiples of 32");
  }
  const auto multiply_keys = plainly ? kernels.multiply_keys_plainly : kernels.multiply_keys;
  const auto multiply_values = plainly ? kernels.multiply_values_plainly : kernels.multiply_values;
  for (const auto pass : {multiply_keys, kernels.softmax, multiply_values}) {
    pool.parallel_for(head.num_tokens / kMaterialisedRows, 4, [&](int64_t begin, int64_t end) {
      pass(head, begin * kMaterialisedRows, end * kMaterialisedRows);
    });
  }
}

}  // namespace terrace
