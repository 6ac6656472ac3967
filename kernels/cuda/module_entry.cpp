// What the executable calls by name (kernels/base/cuda_module.h). comm/nccl_entry.cpp has the collective's.
#include "kernels/base/cuda_module.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/cuda_peer_sum.h"

extern "C" {

extern const int terrace_cuda_module_version;
const int terrace_cuda_module_version = terrace::kCudaModuleVersion;

// Ownership goes to the caller; an Error passes through.

terrace::Backend* terrace_make_cuda_backend(const terrace::BackendOptions* options) { return new terrace::CudaBackend(*options); }

terrace::PeerSum* terrace_make_cuda_peer_sum(const terrace::PeerSumOptions* options) { return new terrace::CudaPeerSum(*options); }

}  // extern "C"
