#include "kernels/cuda/cuda_linear.h"

#include "kernels/base/error.h"

namespace terrace {

struct CudaLinear::State {};
CudaLinear::CudaLinear(CudaDevice&, const BackendOptions&) {}
CudaLinear::~CudaLinear() = default;
std::unique_ptr<Weight> CudaLinear::pack(const HostMatrix&, const PackOptions&) { throw Error(ErrorCode::kInternal, "placeholder"); }
size_t CudaLinear::packed_bytes(DType, int64_t, int64_t, const PackOptions&) const { return 0; }
void CudaLinear::run(MatrixView, std::span<const LinearOutput>) { throw Error(ErrorCode::kInternal, "placeholder"); }

}  // namespace terrace
