#include "kernels/cuda/cuda_attention.h"

#include "kernels/base/error.h"

namespace terrace {

struct CudaAttention::State {};
CudaAttention::CudaAttention(CudaDevice&, const BackendOptions&) {}
CudaAttention::~CudaAttention() = default;
void CudaAttention::begin_step(const StepBatch&, StepArrays&) {}
void CudaAttention::run(const AttentionArgs&) { throw Error(ErrorCode::kInternal, "placeholder"); }

}  // namespace terrace
